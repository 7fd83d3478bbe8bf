//! Calls between services, over every kind of connection.

mod odd;
mod tls;
mod transport;
