import { ponder } from 'ponder:registry'
import { transfers } from 'ponder:schema'

ponder.on('Tokens:Transfer', async ({ event, context }) => {
  await context.db.insert(transfers).values({
    id: `${event.block.number}-${event.log.logIndex}`,
    token: event.log.address,
    from: event.args.from,
    to: event.args.to,
    amount: event.args.value,
    block: event.block.number,
  })
})
