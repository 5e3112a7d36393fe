//! Where a server listens, and paths on it.

use crate::ClientError;

/// A server's host and port, and what stands before its own paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    /// `host:port`.
    pub(crate) server: String,
    /// Without a slash at its end; mostly empty.
    prefix: String,
}

impl Address {
    /// Reads `http://host[:port][/prefix]`.
    pub(crate) fn parse(text: &str) -> Result<Self, ClientError> {
        let unfit = |why| ClientError::Address { address: text.chars().take(200).collect(), why };
        let Some(rest) = text.strip_prefix("http://") else {
            return Err(unfit("it must begin with http:// (put a proxy beside the caller for https)"));
        };
        let (server, prefix) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        if server.is_empty() || !rest.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(unfit("it must name a host, and a port where that is not 80"));
        }
        if rest.contains(['?', '#', '@']) {
            return Err(unfit("it holds more than a host, a port and a path"));
        }
        let has_port = server.rsplit_once(':').map(|(_, port)| port.parse::<u16>().is_ok());
        let server = match has_port {
            Some(true) => server.to_owned(),
            // The last part of a bare IPv6 address in brackets is no port.
            Some(false) if !server.ends_with(']') => return Err(unfit("its port is no number up to 65535")),
            _ => format!("{server}:80"),
        };
        Ok(Self { server, prefix: prefix.trim_end_matches('/').to_owned() })
    }

    /// A path of the server's own behind the prefix.
    pub(crate) fn path(&self, own: &str) -> String {
        format!("{}{own}", self.prefix)
    }
}

/// A model's place below `/v2/models` or `/v1/models`.
pub(crate) fn model_path(root: &str, model: &str, version: Option<&str>) -> String {
    let model = escaped(model);
    match version {
        None => format!("{root}/{model}"),
        Some(version) => format!("{root}/{model}/versions/{}", escaped(version)),
    }
}

/// A name as one part of a path (RFC 3986, 2.3).
fn escaped(name: &str) -> String {
    let letter = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_a_host_and_a_port() {
        for (text, server, path) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080", "/v2"),
            ("http://models/", "models:80", "/v2"),
            ("http://[::1]:9/yard/", "[::1]:9", "/yard/v2"),
            ("http://[::1]", "[::1]:80", "/v2"),
        ] {
            let address = Address::parse(text).expect(text);
            assert_eq!((address.server.as_str(), address.path("/v2").as_str()), (server, path));
        }
        for (text, want) in [
            ("https://host", "must begin with http://"),
            ("host:8080", "must begin with http://"),
            ("http://", "must name a host"),
            ("http://ho st", "must name a host"),
            ("http://host:99999", "its port"),
            ("http://me@host", "more than a host"),
        ] {
            let error = Address::parse(text).expect_err(text);
            assert!(error.to_string().contains(want) && error.hint().is_some(), "{error}");
        }
    }

    #[test]
    fn a_name_is_one_part_of_a_path() {
        assert_eq!(
            model_path("/v2/models", "a/b ü", Some("live")),
            "/v2/models/a%2Fb%20%C3%BC/versions/live"
        );
        assert_eq!(model_path("/v1/models", "digits", None), "/v1/models/digits");
    }
}
