// Transfers of every token on the synthetic node, into PostgreSQL. As in the documentation, except for the limit of
// requests a second, which is meant for hosted nodes.
import { createConfig } from 'ponder'
import { http, parseAbi } from 'viem'

export const abi = parseAbi(['event Transfer(address indexed from, address indexed to, uint256 value)'])

export default createConfig({
  database: { kind: 'postgres', connectionString: process.env.DATABASE_URL },
  networks: {
    synthetic: { chainId: 1337, transport: http(process.env.RPC_URL), maxRequestsPerSecond: 100_000 },
  },
  contracts: {
    Tokens: { abi, network: 'synthetic', startBlock: 0, endBlock: Number(process.env.BLOCKS) },
  },
})
