// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.20;

interface IERC20 {
    function balanceOf(address holder) external view returns (uint256);
    function transfer(address to, uint256 value) external returns (bool);
    function transferFrom(address from, address to, uint256 value) external returns (bool);
}

/// A constant-product pair with the view functions and the events of Uniswap V2's pair, and its fee of 0.3 %.
/// Traders call it directly, without a router: it collects payments with `transferFrom`.
contract DemoPair {
    event Mint(address indexed sender, uint amount0, uint amount1);
    event Swap(
        address indexed sender,
        uint amount0In,
        uint amount1In,
        uint amount0Out,
        uint amount1Out,
        address indexed to
    );
    event Sync(uint112 reserve0, uint112 reserve1);

    address public immutable token0;
    address public immutable token1;

    uint112 private reserve0;
    uint112 private reserve1;
    uint32 private blockTimestampLast;
    bool private entered;

    /// The shares of the liquidity providers.
    uint256 public totalShares;
    mapping(address => uint256) public sharesOf;

    modifier lock() {
        require(!entered, "DemoPair: locked");
        entered = true;
        _;
        entered = false;
    }

    /// The two tokens in any order: as in Uniswap V2, token0 is the one with the lower address.
    constructor(address a, address b) {
        require(a != b && a != address(0) && b != address(0), "DemoPair: bad tokens");
        (token0, token1) = a < b ? (a, b) : (b, a);
    }

    function getReserves() external view returns (uint112 _reserve0, uint112 _reserve1, uint32 _blockTimestampLast) {
        return (reserve0, reserve1, blockTimestampLast);
    }

    /// Pays in liquidity at the current ratio (any ratio at first); an excess of one token is donated to the pool.
    function mint(uint256 amount0, uint256 amount1) external lock returns (uint256 shares) {
        uint256 before0 = reserve0;
        uint256 before1 = reserve1;
        amount0 = pull(token0, amount0);
        amount1 = pull(token1, amount1);
        if (totalShares == 0) {
            shares = sqrt(amount0 * amount1);
        } else {
            uint256 by0 = (amount0 * totalShares) / before0;
            uint256 by1 = (amount1 * totalShares) / before1;
            shares = by0 < by1 ? by0 : by1;
        }
        require(shares > 0, "DemoPair: too little liquidity");
        totalShares += shares;
        sharesOf[msg.sender] += shares;
        emit Mint(msg.sender, amount0, amount1);
        sync();
    }

    /// The amount that `amountIn` of `tokenIn` buys now, after the fee.
    function quote(address tokenIn, uint256 amountIn) public view returns (uint256) {
        require(tokenIn == token0 || tokenIn == token1, "DemoPair: not a token of this pair");
        (uint256 reserveIn, uint256 reserveOut) = tokenIn == token0 ? (reserve0, reserve1) : (reserve1, reserve0);
        uint256 afterFee = amountIn * 997;
        return (afterFee * reserveOut) / (reserveIn * 1000 + afterFee);
    }

    /// Sells `amountIn` of `tokenIn` and sends the bought amount to `to`; fails when that is less than `minimumOut`.
    function swap(address tokenIn, uint256 amountIn, uint256 minimumOut, address to) external lock returns (uint256 out) {
        require(to != token0 && to != token1, "DemoPair: bad receiver");
        out = quote(tokenIn, amountIn);
        require(out > 0 && out >= minimumOut, "DemoPair: output too low");
        bool zeroForOne = tokenIn == token0;
        amountIn = pull(tokenIn, amountIn);
        require(IERC20(zeroForOne ? token1 : token0).transfer(to, out), "DemoPair: transfer failed");
        sync();
        if (zeroForOne) {
            emit Swap(msg.sender, amountIn, 0, 0, out, to);
        } else {
            emit Swap(msg.sender, 0, amountIn, out, 0, to);
        }
    }

    function pull(address token, uint256 amount) private returns (uint256) {
        require(IERC20(token).transferFrom(msg.sender, address(this), amount), "DemoPair: transfer failed");
        return amount;
    }

    /// Sets the reserves to the balances of the pair.
    function sync() private {
        uint256 balance0 = IERC20(token0).balanceOf(address(this));
        uint256 balance1 = IERC20(token1).balanceOf(address(this));
        require(balance0 <= type(uint112).max && balance1 <= type(uint112).max, "DemoPair: reserve overflow");
        reserve0 = uint112(balance0);
        reserve1 = uint112(balance1);
        blockTimestampLast = uint32(block.timestamp);
        emit Sync(reserve0, reserve1);
    }

    function sqrt(uint256 value) private pure returns (uint256 root) {
        if (value == 0) return 0;
        root = value;
        uint256 next = value / 2 + 1;
        while (next < root) {
            root = next;
            next = (value / next + next) / 2;
        }
    }
}
