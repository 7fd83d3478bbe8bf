//! What our proxy says of itself to the platform, so that who asks and who answers mean the same.

use paastech_types::{ProjectId, ReleaseId};
use serde::{Deserialize, Serialize};

/// A header on answers of the proxy's own making only, so that an app's 404 is told from "no such host".
pub const EDGE_ANSWER: &str = "x-paastech-edge";

/// The answer to `GET /routes` and `GET /routes?host=…` at the internal address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Routes {
    /// Releases that get new requests.
    pub routes: Vec<Route>,
    /// Releases that get none, though they could take them or have not ended all that they had.
    pub draining: Vec<Route>,
}

/// One release on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The name clients use.
    pub host: String,
    /// Whose it is.
    pub project: ProjectId,
    /// The release.
    pub release: ReleaseId,
    /// The release's number.
    pub seq: i64,
    /// Containers that take traffic.
    pub servers: usize,
    /// Requests and tunnels that have not ended.
    pub in_flight: usize,
}
