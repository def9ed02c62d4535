// Ponder requires an API.
import { Hono } from 'hono'

export default new Hono()
