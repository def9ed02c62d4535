// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// A price feed with the view functions of Chainlink's AggregatorV3Interface and its `AnswerUpdated` event.
/// Only its owner publishes answers; round ids count from 1 with no holes.
contract PriceFeed {
    struct Round {
        int256 answer;
        uint256 updatedAt;
    }

    event AnswerUpdated(int256 indexed current, uint256 indexed roundId, uint256 updatedAt);
    event NewRound(uint256 indexed roundId, address indexed startedBy, uint256 startedAt);

    uint8 public immutable decimals;
    uint256 public constant version = 1;
    string public description;
    address public immutable owner;

    uint80 private latest;
    mapping(uint80 => Round) private rounds;

    constructor(string memory description_, uint8 decimals_, int256 firstAnswer) {
        description = description_;
        decimals = decimals_;
        owner = msg.sender;
        publish(firstAnswer);
    }

    function updateAnswer(int256 answer) external {
        require(msg.sender == owner, "PriceFeed: not the owner");
        publish(answer);
    }

    function latestRoundData()
        external
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        return getRoundData(latest);
    }

    function getRoundData(uint80 id)
        public
        view
        returns (uint80 roundId, int256 answer, uint256 startedAt, uint256 updatedAt, uint80 answeredInRound)
    {
        Round storage round = rounds[id];
        require(round.updatedAt != 0, "PriceFeed: no data present");
        return (id, round.answer, round.updatedAt, round.updatedAt, id);
    }

    function publish(int256 answer) private {
        require(answer > 0, "PriceFeed: answer must be positive");
        uint80 id = ++latest;
        rounds[id] = Round(answer, block.timestamp);
        emit NewRound(id, msg.sender, block.timestamp);
        emit AnswerUpdated(answer, id, block.timestamp);
    }
}
