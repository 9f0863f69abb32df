//! Addresses that may come.

use std::net::IpAddr;

use ipnet::IpNet;

/// Networks that are let in and networks that are not.
#[derive(Clone, Debug, Default)]
pub struct Addresses {
    /// Only these may come; empty for everybody.
    pub allow: Vec<IpNet>,
    /// These may not, even if they are among the others.
    pub deny: Vec<IpNet>,
}

impl Addresses {
    /// Whether `addr` may come. An IPv4 address that is written as IPv6 is the IPv4 address.
    pub fn admit(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        let within = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&addr));
        !within(&self.deny) && (self.allow.is_empty() || within(&self.allow))
    }

    /// Reads a network, or one address.
    ///
    /// # Errors
    ///
    /// What was read, when it is neither.
    pub fn parse(text: &str) -> Result<IpNet, String> {
        let network = text.parse::<IpNet>();
        let address = || text.parse::<IpAddr>().map(IpNet::from);
        network
            .or_else(|_| address())
            .map_err(|_| format!("{text:?} is neither an address nor a network like 10.0.0.0/8"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<IpNet> {
        texts
            .iter()
            .map(|text| Addresses::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn denied_wins_over_allowed_and_mapped_addresses_are_what_they_are() {
        let addresses = Addresses {
            allow: list(&["10.0.0.0/8", "2001:db8::1"]),
            deny: list(&["10.1.0.0/16"]),
        };
        let admit = |text: &str| addresses.admit(text.parse().unwrap());
        assert!(admit("10.0.0.1") && admit("::ffff:10.0.0.1") && admit("2001:db8::1"));
        assert!(!admit("10.1.2.3") && !admit("::ffff:10.1.2.3") && !admit("192.0.2.1"));
        assert!(Addresses::default().admit("192.0.2.1".parse().unwrap()));
        assert!(
            Addresses::parse("10.0.0.0/40")
                .unwrap_err()
                .contains("10.0.0.0/8")
        );
    }
}
