//! The shared access signature a module presents as its password.

use crate::environment::Environment;
use crate::property_bag::encode;

/// A signature that is still to be made: the text to sign, and the token around it.
pub(crate) struct Unsigned {
    audience: String,
    expires: u64,
}

impl Unsigned {
    /// A token for the module, good until `expires`, in seconds since 1970.
    pub(crate) fn until(expires: u64, environment: &Environment) -> Self {
        let Environment { iot_hub_host, device, module, .. } = environment;
        // The hub decodes the audience as a whole, and once more the ids in it.
        let audience = format!("{iot_hub_host}/devices/{}/modules/{}", encode(device), encode(module));
        Self { audience: encode(&audience), expires }
    }

    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.audience, self.expires)
    }

    /// The token with its signature, base64 as the workload API gives it.
    pub(crate) fn signed(&self, signature: &str) -> String {
        let Self { audience, expires } = self;
        format!("SharedAccessSignature sr={audience}&sig={}&se={expires}", encode(signature))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::environment::WorkloadUri;

    #[test]
    fn a_token_carries_the_audience_as_it_was_signed() {
        let environment = Environment {
            workload: WorkloadUri::Http("h:1".to_owned()),
            api_version: "2022-08-03".to_owned(),
            device: "edge 1".to_owned(),
            module: "relay".to_owned(),
            generation: "1".to_owned(),
            iot_hub_host: "iothub.test".to_owned(),
            gateway_host: "edgehost".to_owned(),
        };
        let token = Unsigned::until(1_900_000_000, &environment);
        let audience = "iothub.test%2Fdevices%2Fedge%25201%2Fmodules%2Frelay";
        assert_eq!(token.text(), format!("{audience}\n1900000000"));
        assert_eq!(
            token.signed("a+b/c="),
            format!("SharedAccessSignature sr={audience}&sig=a%2Bb%2Fc%3D&se=1900000000")
        );
    }
}
