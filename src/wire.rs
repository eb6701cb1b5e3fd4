//! One bounded exchange with a location or a Keystone, and one answer to a client in few packets. Knows HTTP and Pingora, and
//! nothing of Ironic.

pub mod budget;
pub mod buffers;
mod conversation;
mod delivery;
pub mod downstream;
mod handshake;
pub mod head;
mod idle;
pub mod message;
pub mod network;
pub mod peer;
mod reading;
pub mod shown;
pub mod transport;
pub mod upload;
