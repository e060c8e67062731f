#include "server/identity/authentication_config.h"

#include <algorithm>
#include <set>

#include "base/encoding.h"
#include "base/file.h"
#include "machinery/config_file.h"
#include "machinery/validation.h"
#include "net/pki.h"

namespace keles::identity {
namespace {

constexpr size_t kMaxIssuers = 64;
const ConfigKind kKind{"apiserver.config.k8s.io/v1",
                       "AuthenticationConfiguration",
                       {"apiserver.config.k8s.io/v1beta1", "apiserver.config.k8s.io/v1alpha1"}};

std::string text_of(const Value& v) { return std::string(v.as_string()); }

// What of a URL matters here; false for what is none.
struct UrlParts {
  std::string scheme, query, fragment;
  bool user = false;
};
bool split(std::string_view url, UrlParts* out) {
  if (url.find_first_of(" \t\r\n") != url.npos) return false;
  const size_t colon = url.find("://");
  if (colon != url.npos) out->scheme = url.substr(0, colon);
  std::string_view rest = colon == url.npos ? url : url.substr(colon + 3);
  if (size_t at = rest.find('#'); at != rest.npos) {
    out->fragment = rest.substr(at + 1);
    rest = rest.substr(0, at);
  }
  if (size_t at = rest.find('?'); at != rest.npos) {
    out->query = rest.substr(at + 1);
    rest = rest.substr(0, at);
  }
  out->user = rest.substr(0, rest.find('/')).find('@') != rest.npos;
  return true;
}

std::string without_slashes(std::string s) {
  while (s.ends_with('/')) s.pop_back();
  return s;
}

bool is_reserved(std::string_view key) {
  const size_t slash = key.find('/');
  if (slash == key.npos) return false;
  const std::string_view domain = key.substr(0, slash);
  return domain == "kubernetes.io" || domain.ends_with(".kubernetes.io") || domain == "k8s.io" ||
         domain.ends_with(".k8s.io");
}

// One issuer of the file.
class Reader {
 public:
  Reader(const std::vector<std::string>& not_issuers, FieldErrors* errors)
      : not_issuers_(not_issuers), e_(*errors) {}

  IssuerOptions issuer(const Value& jwt, const FieldPath& at) {
    IssuerOptions out;
    email_ = verified_ = false;
    read_issuer(jwt["issuer"], at["issuer"], &out);
    claim_rules(jwt["claimValidationRules"], at["claimValidationRules"], &out.rules);
    mappings(jwt["claimMappings"], at["claimMappings"], &out.rules);
    user_rules(jwt["userValidationRules"], at["userValidationRules"], &out.rules);
    out.algorithms = signing_algorithms();
    return out;
  }

 private:
  void url(const std::string& url, const FieldPath& at, bool issuer) {
    if (issuer && std::find(not_issuers_.begin(), not_issuers_.end(), url) != not_issuers_.end()) {
      std::string list;
      for (const std::string& u : not_issuers_) list += (list.empty() ? "" : " ") + u;
      field::invalid(e_, at, url, "URL must not overlap with disallowed issuers: [" + list + "]");
    }
    UrlParts parts;
    if (!split(url, &parts)) {
      field::invalid(e_, at, url, "parse " + quoted(url) + ": invalid character in URL");
      return;
    }
    if (parts.scheme != "https") field::invalid(e_, at, url, "URL scheme must be https");
    if (parts.user) field::invalid(e_, at, url, "URL must not contain a username or password");
    if (!parts.query.empty()) field::invalid(e_, at, url, "URL must not contain a query");
    if (!parts.fragment.empty()) field::invalid(e_, at, url, "URL must not contain a fragment");
    if (parts.scheme == "https" && !Remote::of_url(url, "").ok()) {
      field::invalid(e_, at, url, "parse " + quoted(url) + ": invalid host or port");
    }
  }

  void read_issuer(const Value& v, const FieldPath& at, IssuerOptions* out) {
    out->url = text_of(v["url"]);
    if (out->url.empty()) {
      field::required(e_, at["url"]);
    } else {
      url(out->url, at["url"], true);
    }
    out->discovery_url = text_of(v["discoveryURL"]);
    if (!out->discovery_url.empty()) {
      if (!out->url.empty() && without_slashes(out->url) == without_slashes(out->discovery_url)) {
        field::invalid(e_, at["discoveryURL"], out->discovery_url,
                       "discoveryURL must be different from URL");
      }
      url(out->discovery_url, at["discoveryURL"], false);
    }
    audiences(v, at, out);
    out->ca_pem = text_of(v["certificateAuthority"]);
    if (!out->ca_pem.empty() && !net::parse_certificate(out->ca_pem).ok()) {
      field::invalid(e_, at["certificateAuthority"], "<omitted>",
                     "data does not contain any valid RSA or ECDSA certificates");
    }
    const std::string egress = text_of(v["egressSelectorType"]);
    if (!egress.empty()) {
      field::invalid(e_, at["egressSelectorType"], egress,
                     "egress selectors are not supported by this server");
    }
  }

  void audiences(const Value& v, const FieldPath& at, IssuerOptions* out) {
    const FieldPath list = at["audiences"];
    for (const Value& a : v["audiences"].items()) out->audiences.push_back(text_of(a));
    if (out->audiences.empty()) {
      field::required(e_, list, "at least one " + list.text() + " is required");
      return;
    }
    std::set<std::string> seen;
    for (size_t i = 0; i < out->audiences.size(); ++i) {
      const std::string& a = out->audiences[i];
      if (a.empty()) field::required(e_, list[i]);
      if (!seen.insert(a).second) field::duplicate(e_, list[i], a);
    }
    const std::string policy = text_of(v["audienceMatchPolicy"]);
    if (out->audiences.size() > 1 && policy != "MatchAny") {
      field::invalid(e_, at["audienceMatchPolicy"], policy,
                     "audienceMatchPolicy must be MatchAny for multiple audiences");
    }
    if (out->audiences.size() == 1 && !policy.empty() && policy != "MatchAny") {
      field::invalid(e_, at["audienceMatchPolicy"], policy,
                     "audienceMatchPolicy must be empty or MatchAny for single audience");
    }
  }

  // False, and the fault noted, when it does not compile.
  bool compile(const std::string& text, const FieldPath& at, bool to_bool, Compiled* out) {
    auto compiled = compile_claims(text, to_bool);
    if (!compiled.ok()) {
      field::invalid(e_, at, text, compiled.status().message());
      return false;
    }
    *out = std::move(*compiled);
    return true;
  }

  void claim_rules(const Value& list, const FieldPath& all, ClaimRules* out) {
    std::set<std::string> claims, expressions;
    size_t i = 0;
    for (const Value& v : list.items()) {
      const FieldPath at = all[i++];
      const std::string claim = text_of(v["claim"]), text = text_of(v["expression"]);
      const std::string message = text_of(v["message"]), value = text_of(v["requiredValue"]);
      if (!claim.empty() && !text.empty()) {
        field::invalid(e_, at, claim, "claim and expression can't both be set");
      } else if (claim.empty() && text.empty()) {
        field::required(e_, at, "claim or expression is required");
      } else if (!claim.empty()) {
        if (!message.empty()) {
          field::invalid(e_, at["message"], message, "may not be specified when claim is set");
        }
        if (!claims.insert(claim).second) field::duplicate(e_, at["claim"], claim);
        out->required[claim] = value;
      } else {
        if (!value.empty()) {
          field::invalid(e_, at["requiredValue"], value,
                         "may not be specified when expression is set");
        }
        if (!expressions.insert(text).second) {
          field::duplicate(e_, at["expression"], text);
          continue;
        }
        ValidationRule rule;
        rule.message = message;
        if (!compile(text, at["expression"], true, &rule.expression)) continue;
        verified_ |= rule.expression.names_email_verified;
        out->claim_rules.push_back(std::move(rule));
      }
    }
  }

  void prefixed(const Value& v, const FieldPath& at, bool required, ClaimOrExpression* out) {
    out->claim = text_of(v["claim"]);
    out->prefix = text_of(v["prefix"]);
    const std::string text = text_of(v["expression"]);
    const bool has_prefix = v["prefix"].is_string();
    if (!text.empty() && !out->claim.empty()) {
      field::invalid(e_, at, "", "claim and expression can't both be set");
    } else if (text.empty() && out->claim.empty()) {
      if (required) field::required(e_, at, "claim or expression is required");
    } else if (!text.empty()) {
      if (has_prefix) {
        field::invalid(e_, at["prefix"], out->prefix,
                       "may not be specified when expression is set");
      }
      compile(text, at["expression"], false, &out->expression);
    } else if (!has_prefix) {
      field::required(e_, at["prefix"],
                      "prefix is required when claim is set. It can be set to an empty string to "
                      "disable prefixing");
    }
  }

  void mappings(const Value& m, const FieldPath& at, ClaimRules* out) {
    prefixed(m["username"], at["username"], true, &out->username);
    email_ |= out->username.expression.names_email;
    verified_ |= out->username.expression.names_email_verified;
    prefixed(m["groups"], at["groups"], false, &out->groups);
    out->uid.claim = text_of(m["uid"]["claim"]);
    const std::string uid = text_of(m["uid"]["expression"]);
    if (!uid.empty() && !out->uid.claim.empty()) {
      field::invalid(e_, at["uid"], "", "claim and expression can't both be set");
    } else if (!uid.empty()) {
      compile(uid, at["uid"]["expression"], false, &out->uid.expression);
    }
    std::set<std::string> keys;
    size_t i = 0;
    for (const Value& v : m["extra"].items()) extra(v, at["extra"][i++], &keys, out);
    if (email_ && !verified_) {
      field::invalid(e_, at["username"]["expression"], text_of(m["username"]["expression"]),
                     "claims.email_verified must be used in claimMappings.username.expression or "
                     "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression "
                     "when claims.email is used in claimMappings.username.expression");
    }
  }

  void extra(const Value& v, const FieldPath& at, std::set<std::string>* keys, ClaimRules* out) {
    ExtraMapping mapping;
    mapping.key = text_of(v["key"]);
    const std::string& key = mapping.key;
    const size_t slash = key.find('/');
    if (key.empty()) {
      field::required(e_, at["key"]);
    } else if (slash == key.npos || slash == 0 || slash + 1 == key.size()) {
      field::invalid(e_, at["key"], key,
                     "must be a domain-prefixed path (such as \"acme.io/foo\")");
    } else {
      field::invalid_each(e_, at["key"], key.substr(0, slash),
                          check_dns1123_subdomain(std::string_view(key).substr(0, slash)));
    }
    if (std::any_of(key.begin(), key.end(), [](char c) { return c >= 'A' && c <= 'Z'; })) {
      field::invalid(e_, at["key"], key, "must be lowercase");
    }
    if (is_reserved(key)) {
      field::invalid(e_, at["key"], key,
                     "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use");
    }
    if (!keys->insert(key).second) {
      field::duplicate(e_, at["key"], key);
      return;
    }
    const std::string text = text_of(v["valueExpression"]);
    if (text.empty()) {
      field::required(e_, at["valueExpression"]);
      return;
    }
    if (!compile(text, at["valueExpression"], false, &mapping.value)) return;
    verified_ |= mapping.value.names_email_verified;
    out->extra.push_back(std::move(mapping));
  }

  void user_rules(const Value& list, const FieldPath& all, ClaimRules* out) {
    std::set<std::string> seen;
    size_t i = 0;
    for (const Value& v : list.items()) {
      const FieldPath at = all[i++]["expression"];
      const std::string text = text_of(v["expression"]);
      if (text.empty()) {
        field::required(e_, at);
        continue;
      }
      if (!seen.insert(text).second) {
        field::duplicate(e_, at, text);
        continue;
      }
      auto compiled = compile_user(text);
      if (!compiled.ok()) {
        field::invalid(e_, at, text, compiled.status().message());
        continue;
      }
      out->user_rules.push_back({std::move(*compiled), text_of(v["message"])});
    }
  }

  const std::vector<std::string>& not_issuers_;
  FieldErrors& e_;
  bool email_ = false, verified_ = false;
};

void read_anonymous(const Value& v, FieldErrors& e, AuthenticationConfig* out) {
  if (!v.is_map()) return;
  out->says_anonymous = true;
  out->anonymous = v["enabled"].as_bool();
  const Value& conditions = v["conditions"];
  if (!out->anonymous && !conditions.empty()) {
    field::invalid(e, FieldPath("anonymous")["conditions"], conditions,
                   "enabled should be set to true when conditions are defined");
  }
  if (conditions.empty()) return;
  out->anonymous_paths.emplace();
  for (const Value& c : conditions.items()) out->anonymous_paths->push_back(text_of(c["path"]));
}

}  // namespace

Result<AuthenticationConfig> read_authentication_config(const std::string& name, std::string text,
                                                        std::vector<std::string> not_issuers) {
  TRY_ASSIGN(file, ConfigFile::parse(name, std::move(text), kKind));
  AuthenticationConfig out;
  FieldErrors e;
  const Value& list = file.root()["jwt"];
  const FieldPath root("jwt");
  if (list.size() > kMaxIssuers) {
    e.push_back({"FieldValueTooMany",
                 "Too many: " + std::to_string(list.size()) + ": must have at most 64 items",
                 root.text()});
    return file.check(e);
  }
  Reader reader(not_issuers, &e);
  std::set<std::string> urls, discovery_urls;
  for (size_t i = 0; i < list.size(); ++i) {
    out.issuers.push_back(reader.issuer(list.at(i), root[i]));
    const IssuerOptions& o = out.issuers.back();
    const FieldPath at = root[i]["issuer"];
    if (!urls.insert(o.url).second) field::duplicate(e, at["url"], o.url);
    if (!o.discovery_url.empty() && !discovery_urls.insert(o.discovery_url).second) {
      field::duplicate(e, at["discoveryURL"], o.discovery_url);
    }
  }
  read_anonymous(file.root()["anonymous"], e, &out);
  TRY(file.check(e));
  return out;
}

bool OidcFlags::used() const {
  return !issuer_url.empty() || !client_id.empty() || !ca_file.empty() || username_claim != "sub" ||
         !username_prefix.empty() || !groups_claim.empty() || !groups_prefix.empty() ||
         signing_algs != std::vector<std::string>{"RS256"} || !required_claims.empty();
}

Result<IssuerOptions> issuer_of_flags(const OidcFlags& f, std::vector<std::string> not_issuers) {
  if (f.issuer_url.empty() || f.client_id.empty()) {
    return Status::bad_request(
        "oidc-issuer-url and oidc-client-id must be specified together when "
        "any oidc-* flags are set");
  }
  IssuerOptions out;
  out.url = f.issuer_url;
  out.audiences = {f.client_id};
  UrlParts parts;
  const bool fine = split(out.url, &parts) && parts.scheme == "https" && !parts.user &&
                    parts.query.empty() && parts.fragment.empty();
  if (!fine || !Remote::of_url(out.url, "").ok()) {
    return Status::bad_request("--oidc-issuer-url: " + quoted(out.url) +
                               ": an https URL without user, query and fragment is wanted");
  }
  if (std::find(not_issuers.begin(), not_issuers.end(), out.url) != not_issuers.end()) {
    return Status::bad_request("--oidc-issuer-url: " + quoted(out.url) +
                               " is the issuer of service accounts' tokens");
  }
  out.rules.username.claim = f.username_claim;
  out.rules.username.prefix = f.username_prefix;
  // Names of another issuer's users would otherwise be those of this cluster's.
  if (f.username_prefix.empty() && f.username_claim != "email") {
    out.rules.username.prefix = f.issuer_url + "#";
  }
  if (f.username_prefix == "-") out.rules.username.prefix.clear();
  out.rules.groups.claim = f.groups_claim;
  out.rules.groups.prefix = f.groups_prefix;
  for (const std::string& pair : f.required_claims) {
    const size_t equals = pair.find('=');
    if (equals == pair.npos) {
      return Status::bad_request("--oidc-required-claim: " + quoted(pair) + ": want KEY=VALUE");
    }
    out.rules.required[pair.substr(0, equals)] = pair.substr(equals + 1);
  }
  for (const std::string& a : f.signing_algs) {
    const auto& known = signing_algorithms();
    if (std::find(known.begin(), known.end(), a) == known.end()) {
      return Status::bad_request("--oidc-signing-algs: oidc: unsupported signing alg: " +
                                 quoted(a));
    }
  }
  out.algorithms = f.signing_algs;
  if (!f.ca_file.empty()) {
    TRY_ASSIGN(ca, read_file(f.ca_file));
    out.ca_pem = ca;
  }
  return out;
}

}  // namespace keles::identity
