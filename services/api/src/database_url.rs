//! A database server's URL, taken apart as the driver does it.

/// `<scheme>://<user>:<password>@<host><tail>`; the tail has the database's name and the options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) user: Option<&'a str>,
    password: Option<&'a str>,
    pub(crate) host: &'a str,
    pub(crate) tail: &'a str,
}

impl<'a> Parts<'a> {
    /// None: it is no URL.
    pub(crate) fn of(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (user, password) = match user.and_then(|user| user.split_once(':')) {
            Some((user, password)) => (Some(user), Some(password)),
            None => (user, None),
        };
        Some(Self { scheme, user, password, host, tail })
    }

    /// The password among the options, which counts before the other one.
    pub(crate) fn option_password(&self) -> Option<&'a str> {
        let (_, options) = self.tail.split_once('?')?;
        let options = options.split_once('#').map_or(options, |(options, _)| options);
        options.split('&').filter_map(|option| option.strip_prefix("password=")).next_back()
    }

    /// How long the password is that counts; in a URL, three letters may stand for one.
    pub(crate) fn password_length(&self) -> Option<usize> {
        let password = self.option_password().or(self.password)?;
        Some(password.len().saturating_sub(2 * password.matches('%').count()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_found_where_the_driver_finds_it() {
        for (url, length) in [
            ("postgres://h/d", None),
            ("postgres://u@h/d", None),
            ("postgres://u:short@h/d", Some(5)),
            ("postgres://u:a@b@h/d", Some(3)),
            ("postgres://u:short@h/d?options=a@b", Some(5)),
            ("postgres://u:0123456789abcdef@h/d?sslmode=require&password=short", Some(5)),
            ("postgres://h?password=short#password=0123456789abcdef", Some(5)),
            ("postgres://u:%61%62%63@h/d", Some(3)),
        ] {
            assert_eq!(Parts::of(url).expect(url).password_length(), length, "{url}");
        }
        assert_eq!(Parts::of("paastech.db"), None);
    }
}
