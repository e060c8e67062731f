#include "server/registry/webhook_check.h"

#include <algorithm>

#include "base/encoding.h"
#include "machinery/text_formats.h"
#include "net/pem.h"
#include "net/pki.h"

namespace keles::registry {
namespace {

constexpr std::string_view kForm = "; desired format: https://host[/path]";

void check_url(FieldErrors& e, std::string_view url, const FieldPath& p) {
  const size_t hash = url.find('#');
  const std::string_view plain = url.substr(0, hash);
  const bool bad = std::any_of(url.begin(), url.end(), [](char c) {
    return static_cast<unsigned char>(c) < ' ' || c == 0x7f;
  });
  if (bad) {
    field::required(e, p,
                    "url must be a valid URL: parse " + quoted(url) +
                        ": net/url: invalid control character in URL" + std::string(kForm));
    return;
  }
  const size_t colon = plain.find(':');
  std::string_view scheme = plain.substr(0, colon == plain.npos ? 0 : colon);
  if (scheme.find_first_of("/?") != scheme.npos) scheme = {};
  if (colon == 0) {
    field::required(e, p,
                    "url must be a valid URL: parse " + quoted(url) + ": missing protocol scheme" +
                        std::string(kForm));
    return;
  }
  std::string_view rest = scheme.empty() ? plain : plain.substr(scheme.size() + 1);
  const size_t question = rest.find('?');
  const std::string_view query = question == rest.npos ? "" : rest.substr(question + 1);
  rest = rest.substr(0, question);
  std::string_view authority;
  if (rest.starts_with("//")) authority = rest.substr(2, rest.find('/', 2) - 2);
  const size_t at = authority.rfind('@');
  const std::string_view user = at == authority.npos ? "" : authority.substr(0, at);
  const std::string_view host = at == authority.npos ? authority : authority.substr(at + 1);
  if (!authority.empty() && !is_request_uri(plain)) {
    field::required(
        e, p,
        "url must be a valid URL: parse " + quoted(url) + ": invalid URL" + std::string(kForm));
    return;
  }
  if (scheme != "https") {
    field::invalid(e, p, scheme, "'https' is the only allowed URL scheme" + std::string(kForm));
  }
  if (host.empty()) field::invalid(e, p, "", "host must be specified" + std::string(kForm));
  if (at != authority.npos) {
    field::invalid(e, p, user, "user information is not permitted in the URL");
  }
  if (hash != url.npos && hash + 1 < url.size()) {
    field::invalid(e, p, url.substr(hash + 1), "fragments are not permitted in the URL");
  }
  if (!query.empty()) {
    field::invalid(e, p, query, "query parameters are not permitted in the URL");
  }
}

void check_path(FieldErrors& e, std::string_view path, const FieldPath& p) {
  if (path.empty() || path == "/") return;
  if (path == "//") {
    field::invalid(e, p, path, "segment[0] may not be empty");
    return;
  }
  if (path[0] != '/') field::invalid(e, p, path, "must start with a '/'");
  std::string_view rest = path.substr(1);
  if (rest.ends_with('/')) rest.remove_suffix(1);
  for (size_t i = 0;; ++i) {
    const size_t slash = rest.find('/');
    const std::string_view step = rest.substr(0, slash);
    const std::string segment = "segment[" + std::to_string(i) + "]";
    if (step.empty()) {
      field::invalid(e, p, path, segment + " may not be empty");
    } else {
      for (const std::string& why : check_dns1123_subdomain(step)) {
        field::invalid(e, p, path, segment + ": " + why);
      }
    }
    if (slash == rest.npos) return;
    rest.remove_prefix(slash + 1);
  }
}

void check_service(FieldErrors& e, const Value& service, const FieldPath& p) {
  // Upstream hands the two over in the wrong order, and so tells the one by the other's name.
  if (service["namespace"].as_string().empty()) field::required(e, p["name"]);
  if (service["name"].as_string().empty()) field::required(e, p["namespace"]);
  const int64_t port = service["port"].is_null() ? 443 : service["port"].as_int();
  std::string why;
  for (const std::string& m : check_port_number(port)) why += (why.empty() ? "" : ", ") + m;
  if (!why.empty()) field::invalid(e, p["port"], port, "port is not valid: " + why);
  if (service["path"].is_string()) check_path(e, service["path"].as_string(), p["path"]);
}

}  // namespace

void check_webhook_client(FieldErrors& errors, const Value& config, const FieldPath& path) {
  const bool url = config["url"].is_string(), service = config["service"].is_map();
  if (url == service) {
    field::required(errors, path, "exactly one of url or service is required");
  } else if (url) {
    check_url(errors, config["url"].as_string(), path["url"]);
  } else {
    check_service(errors, config["service"], path["service"]);
  }
}

std::string check_ca_bundle(std::string_view base64) {
  constexpr std::string_view kStart = "unable to load root certificates: ";
  auto pem = base64_decode(base64);
  const auto blocks = net::pem_blocks(pem.ok() ? std::string_view(*pem) : std::string_view());
  if (blocks.empty()) return std::string(kStart) + "unable to parse bytes as PEM block";
  std::string why = "no valid certificate authority data seen";
  for (const net::PemBlock& b : blocks) {
    if (b.label != "CERTIFICATE") continue;
    auto parsed = net::parse_certificate(b.text);
    if (parsed.ok()) return {};
    why = "failed to parse certificate: " + parsed.status().message();
  }
  return std::string(kStart) + why;
}

}  // namespace keles::registry
