// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

interface IPriceFeed {
    function decimals() external view returns (uint8);
    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound);
}

/// A proxy in front of a price feed, with the view functions of Chainlink's AggregatorProxyInterface.
/// It emits no events itself; its owner can replace the feed behind it.
contract FeedProxy {
    address public immutable owner;
    address public aggregator;

    constructor(address aggregator_) {
        owner = msg.sender;
        aggregator = aggregator_;
    }

    function change(address aggregator_) external {
        require(msg.sender == owner, "FeedProxy: not the owner");
        aggregator = aggregator_;
    }

    function decimals() external view returns (uint8) {
        return IPriceFeed(aggregator).decimals();
    }

    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        return IPriceFeed(aggregator).latestRoundData();
    }
}
