#!/usr/bin/env bash
# Take the picture of the asset graph from a running UI: docs/picture.sh [address of the UI]
set -euo pipefail
cd "$(dirname "$0")/.."
ui="${1:-http://127.0.0.1:3000}"
profile="$(mktemp -d)"
trap 'rm -rf "$profile"' EXIT
chromium --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage --disable-quic \
    --no-first-run --disable-background-networking --disable-component-update --disable-sync \
    --hide-scrollbars --user-data-dir="$profile" --window-size=2400,1100 \
    --virtual-time-budget=30000 --screenshot=docs/asset_graph.png \
    "$ui/assets/reallocation_plans?view=lineage&lineageScope=upstream&lineageDepth=6"
