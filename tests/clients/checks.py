"""What the clients in Python share: their output, and checks of what every transport sends."""

import json

CHANNELS = ["price:ETH", "new-block"]
# In seconds.
TIMEOUT = 110


def report(step, **fields):
    print(json.dumps({"step": step, **fields}), flush=True)


def check(good, what):
    if not good:
        raise AssertionError(what)


def check_chains(chains):
    """Every chain of a heartbeat has its id, its head, two ages and a status."""
    check(isinstance(chains, list) and chains, f"chains: {chains}")
    for chain in chains:
        check(set(chain) == {"chainId", "head", "headAgeMs", "nodeAgeMs", "status"}, f"a chain: {chain}")
        check(type(chain["chainId"]) is int and chain["status"] in ("ok", "lagging", "down"), f"a chain: {chain}")
        check(all(chain[key] is None or type(chain[key]) is int for key in ("head", "headAgeMs", "nodeAgeMs")), f"a chain: {chain}")


async def follow_chains(heartbeats):
    """Reads heartbeats until every chain is ok, with a head and both ages. Takes an iterator over their data."""
    async for heartbeat in heartbeats:
        chains = heartbeat["chains"]
        # Null: the database could not be read in time for this heartbeat.
        if chains is None:
            continue
        check_chains(chains)
        if all(chain["status"] == "ok" and None not in chain.values() for chain in chains):
            return report("chains", data=chains)
