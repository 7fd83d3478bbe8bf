//! How often one may call, in this process.

use std::{net::IpAddr, num::NonZeroU32, time::Duration};

use governor::{
    DefaultKeyedRateLimiter, Quota,
    clock::{Clock as _, DefaultClock},
};
use paastech_types::{AccountId, ProjectId};

use crate::{
    config::{self, Rate},
    http::problem::Problem,
};

/// One limiter per kind of call.
pub(crate) struct Limiters {
    login: DefaultKeyedRateLimiter<(IpAddr, String)>,
    login_address: DefaultKeyedRateLimiter<IpAddr>,
    register: DefaultKeyedRateLimiter<IpAddr>,
    anonymous: DefaultKeyedRateLimiter<IpAddr>,
    account: DefaultKeyedRateLimiter<AccountId>,
    deploy: DefaultKeyedRateLimiter<ProjectId>,
}

impl Limiters {
    pub(crate) fn new(limits: &config::Limits) -> Self {
        Self {
            login: limiter(limits.login),
            login_address: limiter(limits.login_address),
            register: limiter(limits.register),
            anonymous: limiter(limits.anonymous),
            account: limiter(limits.account),
            deploy: limiter(limits.deploy),
        }
    }

    /// A log-in to this account from this address.
    pub(crate) fn login(&self, address: IpAddr, email: &str) -> Result<(), Problem> {
        check(&self.login_address, &address)?;
        check(&self.login, &(address, email.to_owned()))
    }

    /// A sign-up or set-up from this address.
    pub(crate) fn register(&self, address: IpAddr) -> Result<(), Problem> {
        check(&self.register, &address)
    }

    /// A call of nobody known.
    pub(crate) fn anonymous(&self, address: IpAddr) -> Result<(), Problem> {
        check(&self.anonymous, &address)
    }

    /// A call of this account.
    pub(crate) fn account(&self, account: AccountId) -> Result<(), Problem> {
        check(&self.account, &account)
    }

    /// A deployment of this project.
    pub(crate) fn deploy(&self, project: ProjectId) -> Result<(), Problem> {
        check(&self.deploy, &project)
    }

    /// Forgets who has not called for long.
    pub(crate) fn sweep(&self) {
        self.login.retain_recent();
        self.login_address.retain_recent();
        self.register.retain_recent();
        self.anonymous.retain_recent();
        self.account.retain_recent();
        self.deploy.retain_recent();
    }
}

fn limiter<K: std::hash::Hash + Eq + Clone>(rate: Rate) -> DefaultKeyedRateLimiter<K> {
    let burst = NonZeroU32::new(rate.burst).unwrap_or(NonZeroU32::MIN);
    let each = (rate.window() / burst.get()).max(Duration::from_nanos(1));
    let quota = Quota::with_period(each).expect("the period is not zero").allow_burst(burst);
    DefaultKeyedRateLimiter::keyed(quota)
}

fn check<K: std::hash::Hash + Eq + Clone>(
    limiter: &DefaultKeyedRateLimiter<K>,
    key: &K,
) -> Result<(), Problem> {
    limiter.check_key(key).map_err(|until| {
        let wait = until.wait_time_from(DefaultClock::default().now());
        Problem::too_many().retry_after(wait.as_secs() + 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sixth_log_in_waits_and_another_account_does_not() {
        let limiters = Limiters::new(&config::Limits::default());
        let address = IpAddr::from([192, 0, 2, 1]);
        for _ in 0..5 {
            limiters.login(address, "a@x").expect("within the limit");
        }
        let refused = limiters.login(address, "a@x").expect_err("over it");
        assert_eq!(refused.status().as_u16(), 429);
        limiters.login(address, "b@x").expect("another account");
        limiters.login(IpAddr::from([192, 0, 2, 2]), "a@x").expect("another address");
    }
}
