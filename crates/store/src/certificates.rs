//! TLS files named by a database URL. Checked before connecting, because sqlx's errors do not name the file.

use reqwest::Url;

use super::StoreError;
use chaincast_base::tls;

/// Parameters of the URL and the environment variables that replace them.
const CA_FILE_VARIABLE: (&str, &str) = ("sslrootcert", "PGSSLROOTCERT");
const OWN: [(&str, &str); 2] = [("sslcert", "PGSSLCERT"), ("sslkey", "PGSSLKEY")];

/// Checks that each file named by `url` can be read.
pub(super) fn check(url: &str) -> Result<(), StoreError> {
    // A malformed URL is rejected when the connection options are parsed.
    let Ok(parsed) = Url::parse(url) else {
        return Ok(());
    };
    let named = |(parameter, variable): (&'static str, &str)| {
        // sqlx accepts both spellings.
        let is_it = |key: &str| key.replace('-', "") == parameter;
        let given = parsed.query_pairs().filter(|(key, _)| is_it(key));
        let path = given.last().map(|(_, path)| path.into_owned());
        path.or_else(|| std::env::var(variable).ok())
            .map(|path| (parameter, path))
    };
    let refused = |(parameter, path): (&'static str, String), reason| StoreError::Certificate {
        parameter,
        path,
        reason,
    };
    if let Some(file) = named(CA_FILE_VARIABLE)
        && let Err(reason) = tls::read_ca_file(file.1.as_ref())
    {
        return Err(refused(file, reason));
    }
    for file in OWN.into_iter().filter_map(named) {
        if let Err(error) = std::fs::File::open(&file.1) {
            return Err(refused(file, error.to_string()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_unreadable_file() {
        for parameter in ["sslrootcert", "ssl-root-cert", "sslcert", "sslkey"] {
            let url = format!(
                "postgres://db/chaincast?sslmode=verify-full&{parameter}=/nowhere/file.pem"
            );
            let error = check(&url).unwrap_err().to_string();
            assert!(error.contains("/nowhere/file.pem"), "{error}");
            assert!(error.contains(&parameter.replace('-', "")), "{error}");
        }
        check("postgres://db/chaincast?sslmode=require").unwrap();
    }
}
