// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

/// A pool with the view functions and the events of Uniswap V3's pool. It holds no tokens: its owner sets the price and
/// the liquidity after the last swap.
contract DemoPoolV3 {
    event Initialize(uint160 sqrtPriceX96, int24 tick);
    event Swap(
        address indexed sender,
        address indexed recipient,
        int256 amount0,
        int256 amount1,
        uint160 sqrtPriceX96,
        uint128 liquidity,
        int24 tick
    );

    address public immutable owner;
    address public immutable token0;
    address public immutable token1;
    uint128 public liquidity;
    uint160 private sqrtPrice;

    /// The two tokens in any order: as in Uniswap V3, token0 is the one with the lower address.
    constructor(address a, address b, uint160 sqrtPriceX96) {
        require(a != b && a != address(0) && b != address(0), "DemoPoolV3: bad tokens");
        (token0, token1) = a < b ? (a, b) : (b, a);
        owner = msg.sender;
        sqrtPrice = sqrtPriceX96;
        emit Initialize(sqrtPriceX96, 0);
    }

    /// The tick and the observations of a real pool's oracle are not stored.
    function slot0()
        external
        view
        returns (
            uint160 sqrtPriceX96,
            int24 tick,
            uint16 observationIndex,
            uint16 observationCardinality,
            uint16 observationCardinalityNext,
            uint8 feeProtocol,
            bool unlocked
        )
    {
        return (sqrtPrice, 0, 0, 1, 1, 0, true);
    }

    /// A swap that leaves the pool at this price and liquidity.
    function swapTo(uint160 sqrtPriceX96, uint128 liquidity_) external {
        require(msg.sender == owner, "DemoPoolV3: not the owner");
        bool up = sqrtPriceX96 > sqrtPrice;
        sqrtPrice = sqrtPriceX96;
        liquidity = liquidity_;
        emit Swap(msg.sender, msg.sender, up ? int256(-1) : int256(1), up ? int256(1) : int256(-1), sqrtPriceX96, liquidity_, 0);
    }
}
