//! The wire: one bounded exchange with a location, one answer to a client in few parts. Knows HTTP and Pingora, and
//! nothing of Ironic.

pub mod budget;
pub mod downstream;
pub mod head;
pub mod transport;
pub mod upload;
