#include "keles/identity_flags.h"

#include "base/file.h"
#include "net/peer_details.h"

namespace keles {

Result<std::shared_ptr<identity::Reload>> ask_others(identity::Sources s,
                                                     const auth::AuthOptions& auth) {
  s.modes = auth.modes;
  s.anonymous = auth.anonymous;
  s.service_account_issuer = auth.issuer;
  s.api_audiences = auth.audiences;
  if (s.api_audiences.empty()) {
    s.api_audiences = {auth.issuer};
    s.api_audiences.insert(s.api_audiences.end(), auth.tokens.also_from.begin(),
                           auth.tokens.also_from.end());
  }
  return identity::Reload::make(std::move(s));
}

Status front_proxy_options(const std::string& ca_file, const auth::FrontProxy& proxy,
                           const std::string& client_ca_pem, auth::AuthOptions* auth) {
  auth->client_ca_pem = client_ca_pem;
  if (ca_file.empty() || proxy.username_headers.empty()) return Status();
  TRY_ASSIGN(ca, read_file(ca_file));
  auth->front_proxy = proxy;
  auth->front_proxy.ca_pem = ca;
  if (!proxy.allowed_names.empty()) return Status();
  const auto users = net::certificate_fingerprints(client_ca_pem);
  for (const std::string& root : net::certificate_fingerprints(ca)) {
    if (!users.contains(root)) continue;
    return Status::bad_request(
        "--requestheader-client-ca-file and --client-ca-file contain overlapping certificates; "
        "--requestheader-allowed-names must be specified to ensure regular client certificates "
        "cannot set authenticating proxy headers for arbitrary users");
  }
  return Status();
}

namespace {

void add_oidc_flags(Flags& f, identity::OidcFlags& o) {
  f.add("oidc-issuer-url", &o.issuer_url,
        "The URL of the OpenID issuer, only HTTPS scheme will be accepted. If set, it will be used "
        "to verify the OIDC JSON Web Token (JWT).");
  f.add("oidc-client-id", &o.client_id,
        "The client ID for the OpenID Connect client, must be set if oidc-issuer-url is set.");
  f.add("oidc-ca-file", &o.ca_file,
        "If set, the OpenID server's certificate will be verified by one of the authorities in the "
        "oidc-ca-file, otherwise the host's root CA set will be used.");
  f.add("oidc-username-claim", &o.username_claim,
        "The OpenID claim to use as the user name. Note that claims other than the default ('sub') "
        "is not guaranteed to be unique and immutable.");
  f.add("oidc-username-prefix", &o.username_prefix,
        "If provided, all usernames will be prefixed with this value. If not provided, username "
        "claims other than 'email' are prefixed by the issuer URL to avoid clashes. To skip any "
        "prefixing, provide the value '-'.");
  f.add("oidc-groups-claim", &o.groups_claim,
        "If provided, the name of a custom OpenID Connect claim for specifying user groups. The "
        "claim value is expected to be a string or array of strings.");
  f.add("oidc-groups-prefix", &o.groups_prefix,
        "If provided, all groups will be prefixed with this value to prevent conflicts with other "
        "authentication strategies.");
  f.add("oidc-signing-algs", &o.signing_algs,
        "Comma-separated list of allowed JOSE asymmetric signing algorithms. JWTs with a supported "
        "'alg' header values are: RS256, RS384, RS512, ES256, ES384, ES512, PS256, PS384, PS512.");
  f.add("oidc-required-claim", &o.required_claims,
        "A key=value pair that describes a required claim in the ID Token. If set, the claim is "
        "verified to be present in the ID Token with a matching value. Repeat this flag to specify "
        "multiple claims.");
}

void add_account_flags(Flags& f, ControlPlaneOptions& s) {
  f.add_array(
      "service-account-issuer", &s.issuers,
      "Identifier of the service account token issuer. When this flag is specified multiple "
      "times, the first is used to generate tokens and all are used to determine which "
      "issuers are accepted.");
  f.add("service-account-jwks-uri", &s.account_tokens.jwks_uri,
        "Overrides the URI for the JSON Web Key Set in the discovery doc served at "
        "/.well-known/openid-configuration.");
  f.add("service-account-max-token-expiration", &s.account_tokens.longest,
        "The maximum validity duration of a token created by the service account token issuer. If "
        "an otherwise valid TokenRequest with a validity duration larger than this value is "
        "requested, a token will be issued with a validity duration of this value.");
  f.add("service-account-extend-token-expiration", &s.account_tokens.extend,
        "Turns on projected service account expiration extension during token generation: tokens "
        "of pods are extended up to 1 year, ignoring service-account-max-token-expiration.");
  f.add("api-audiences", &s.audiences,
        "Identifiers of the API, which tokens must be bound to; the service account issuers when "
        "empty.");
}

}  // namespace

void add_identity_flags(Flags& f, ControlPlaneOptions& s) {
  add_account_flags(f, s);
  identity::Sources& i = s.identity;
  f.add("authentication-config", &i.authentication_config,
        "File with Authentication Configuration to configure the JWT Token authenticator or the "
        "anonymous authenticator. Read again when it changes.");
  f.add("authorization-config", &i.authorization_config,
        "File with Authorization Configuration to configure the authorizer chain, in the place of "
        "--authorization-mode. Read again when it changes.");
  add_oidc_flags(f, i.oidc);
  f.add("authentication-token-webhook-config-file", &i.token_webhook.config_file,
        "File with webhook configuration for token authentication in kubeconfig format. The API "
        "server will query the remote service to determine authentication for bearer tokens.");
  f.add("authentication-token-webhook-version", &i.token_webhook.version,
        "The API version of the authentication.k8s.io TokenReview to send to and expect from the "
        "webhook.");
  f.add("authentication-token-webhook-cache-ttl", &i.token_webhook.ttl,
        "The duration to cache responses from the webhook token authenticator.");
  f.add("authorization-webhook-config-file", &i.access_webhook.config_file,
        "File with webhook configuration in kubeconfig format, used with "
        "--authorization-mode=Webhook. The API server will query the remote service to determine "
        "access on the API server's secure port.");
  f.add(
      "authorization-webhook-version", &i.access_webhook.version,
      "The API version of the authorization.k8s.io SubjectAccessReview to send to and expect from "
      "the webhook.");
  f.add("authorization-webhook-cache-authorized-ttl", &i.access_webhook.authorized_ttl,
        "The duration to cache 'authorized' responses from the webhook authorizer.");
  f.add("authorization-webhook-cache-unauthorized-ttl", &i.access_webhook.unauthorized_ttl,
        "The duration to cache 'unauthorized' responses from the webhook authorizer.");
  f.add("enable-bootstrap-token-auth", &s.bootstrap_tokens,
        "Enable to allow secrets of type 'bootstrap.kubernetes.io/token' in the 'kube-system' "
        "namespace to be used for TLS bootstrapping authentication.");
  f.add("requestheader-client-ca-file", &s.front_proxy_ca,
        "Root certificate bundle to use to verify client certificates on incoming requests before "
        "trusting usernames in headers specified by --requestheader-username-headers.");
  f.add(
      "requestheader-allowed-names", &s.front_proxy.allowed_names,
      "List of client certificate common names to allow to provide usernames in headers specified "
      "by --requestheader-username-headers. If empty, any client certificate validated by the "
      "authorities in --requestheader-client-ca-file is allowed.");
  f.add("requestheader-username-headers", &s.front_proxy.username_headers,
        "List of request headers to inspect for usernames. X-Remote-User is common. None: nobody's "
        "are believed.");
  f.add("requestheader-uid-headers", &s.front_proxy.uid_headers,
        "List of request headers to inspect for UIDs. X-Remote-Uid is suggested.");
  f.add("requestheader-group-headers", &s.front_proxy.group_headers,
        "List of request headers to inspect for groups. X-Remote-Group is suggested.");
  f.add("requestheader-extra-headers-prefix", &s.front_proxy.extra_prefixes,
        "List of request header prefixes to inspect. X-Remote-Extra- is suggested.");
}

Status check_identity_flags(const Flags& f, ControlPlaneOptions* s) {
  s->identity.anonymous_given = f.given("anonymous-auth");
  if (s->identity.authorization_config.empty()) return Status();
  for (const char* name :
       {"authorization-mode", "authorization-webhook-config-file", "authorization-webhook-version",
        "authorization-webhook-cache-authorized-ttl",
        "authorization-webhook-cache-unauthorized-ttl"}) {
    if (!f.given(name)) continue;
    return Status::bad_request(
        "--authorization-config can not be specified when --authorization-mode or "
        "--authorization-webhook-* flags are defined");
  }
  return Status();
}

}  // namespace keles
