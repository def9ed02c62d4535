// Ponder wants an API to be there.
import { Hono } from 'hono'

export default new Hono()
