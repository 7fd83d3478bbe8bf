//! Calls between services, over every kind of connection.

mod metrics;
mod odd;
mod tls;
mod transport;
