//! Updates on the channels of watched transactions and addresses.

use chaincast_protocol::{Address, Channel, Event, NewUpdate, TransactionUpdate};

/// An update on the channel of its transaction.
pub(super) fn transaction_update(update: TransactionUpdate) -> NewUpdate {
    NewUpdate {
        channel: Channel::Tx(update.hash),
        event: Event::TransactionUpdate(update),
    }
}

/// An update on the channel of an address.
pub(super) fn address_update(address: Address, event: Event) -> NewUpdate {
    NewUpdate {
        channel: Channel::Address(address),
        event,
    }
}
