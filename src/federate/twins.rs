//! What was found at two locations right after a write: another gateway wrote it at the same time. The directory knows of
//! UUIDs and names that are contested; the rest is counted here.

use crate::federate::claim::Column;
use crate::metrics::counter::Counter;

/// Twins that were found since the start.
#[derive(Debug, Default)]
pub struct Twins {
    instances: Counter,
    addresses: Counter,
    connectors: Counter,
}

impl Twins {
    pub fn found(&self, column: Column) {
        match column {
            Column::Uuid | Column::Name => {}
            Column::Instance => self.instances.bump(),
            Column::Address => self.addresses.bump(),
            Column::Connector => self.connectors.bump(),
        }
    }

    /// By the name of what is the same.
    pub fn counts(&self) -> [(&'static str, u64); 3] {
        [
            (Column::Instance.name(), self.instances.count()),
            (Column::Address.name(), self.addresses.count()),
            (Column::Connector.name(), self.connectors.count()),
        ]
    }
}
