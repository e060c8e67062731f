"""The volumes of claims in a node's summary (stdin): volumes.py NAMESPACE."""
import json
import sys

for pod in json.load(sys.stdin)["pods"]:
    if pod["podRef"]["namespace"] != sys.argv[1]:
        continue
    for v in sorted(pod["volume"], key=lambda v: v["name"]):
        if "pvcRef" in v:
            print(v["name"], v["pvcRef"]["name"], 0 <= v["usedBytes"] < v["capacityBytes"])
