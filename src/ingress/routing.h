// What the proxy is to do, as values: hosts, paths, backends and certificates that were parsed from
// the API's objects. Nothing in a table is a text that a user chose freely, so what is written from
// one (haproxy_config.h) cannot say anything else than the table does.
//
// A request belongs to the route of the most particular host (its own name, then a wildcard, then
// any host) and there of the exact path, else of the longest prefix, by whole elements. Nothing
// found: the default of the most particular host. Nothing there: 404.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ip.h"
#include "net/http.h"

namespace keles::ingress {

// Which hosts are meant: lower case, "" for any, ".example.com" for one label before it.
class Host {
 public:
  Host() = default;  // any
  // "", a DNS name, or "*." and a DNS name; in any case. Addresses and ports are no hosts.
  static std::optional<Host> parse(std::string_view text);
  const std::string& key() const { return key_; }
  bool any() const { return key_.empty(); }
  std::string text() const;  // "*.example.com"
  auto operator<=>(const Host&) const = default;

 private:
  std::string key_;
};

// The path of a request as it is on the wire: bytes that cannot be in one are percent-encoded.
class Path {
 public:
  static constexpr size_t kMaxBytes = 2000;
  // Begins with '/'; none when it does not, or is too long.
  static std::optional<Path> parse(std::string_view text);
  const std::string& text() const { return text_; }
  // As a prefix by elements: "/a" and "/a/" are both "/a/".
  std::string elements() const;
  auto operator<=>(const Path&) const = default;

 private:
  std::string text_;
};

// Ports that listeners may have, and how many different ones of all Gateways: ports that the pod
// cannot have itself are taken at one beyond these (ProxyOptions).
inline constexpr int64_t kLastListenerPort = 63999;
inline constexpr size_t kMaxListenerPorts = 100;
inline bool is_listener_port(int64_t port) { return port >= 1 && port <= kLastListenerPort; }

// A Service's port, and what is spoken to it.
struct BackendName {
  enum class Protocol : uint8_t { kHttp, kGrpc, kTls };  // kTls: the client's, passed on

  std::string ns, service;  // DNS labels
  uint16_t port = 0;
  Protocol protocol = Protocol::kHttp;
  std::string text() const;  // "ns:service:80", "ns:service:80:grpc": what the proxy calls it
  auto operator<=>(const BackendName&) const = default;
};
// None where a name is no DNS label or the port none.
std::optional<BackendName> backend_name(std::string_view ns, std::string_view service, int64_t port,
                                        BackendName::Protocol p = BackendName::Protocol::kHttp);

struct Target {
  IpAddress address;
  uint16_t port = 0;
  auto operator<=>(const Target&) const = default;
};

struct Backend {
  bool http2 = false;           // of the first byte
  bool tls = false;             // to the pods, whoever they say that they are
  std::vector<Target> targets;  // in order, each once; none: 503
  bool operator==(const Backend&) const = default;
};

struct Certificate {
  std::string ns, ingress, secret;  // where it comes from
  uint16_t port = 443;              // of the listener
  std::vector<Host> hosts;          // served to who asks for these; none: for the names in it
  net::TlsIdentity identity;
};

}  // namespace keles::ingress
