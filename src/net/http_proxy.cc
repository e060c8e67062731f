#include "net/http_proxy.h"

#include <sys/socket.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <memory>

#include "base/ascii.h"
#include "base/encoding.h"
#include "base/host_port.h"
#include "base/ip.h"
#include "base/text_parts.h"
#include "net/transport.h"

namespace keles::net {
namespace {

constexpr size_t kMaxAnswer = 16384;
constexpr std::string_view kHeadEnd = "\r\n\r\n";

bool read_port(std::string_view text, uint16_t* out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *out);
  return error == std::errc() && end == text.data() + text.size();
}

// "host", "host:port", "[::1]:port", "::1".
bool split_host(std::string_view text, std::string* host, std::string* port) {
  port->clear();
  if (text.starts_with('[')) {
    size_t close = text.find(']');
    if (close == text.npos) return false;
    *host = text.substr(1, close - 1);
    std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest[0] != ':') return false;
    if (!rest.empty()) *port = rest.substr(1);
    return true;
  }
  size_t colon = text.find(':');
  bool alone = colon == text.npos || text.find(':', colon + 1) != text.npos;
  *host = alone ? text : text.substr(0, colon);
  if (!alone) *port = text.substr(colon + 1);
  return true;
}

// Whether one entry of NO_PROXY means the server.
bool is_exempt(std::string_view entry, const std::string& host,
               const std::optional<IpAddress>& address, const std::string& port) {
  if (entry == "*") return true;
  if (std::optional<IpPrefix> prefix = IpPrefix::parse(entry)) {
    return address && prefix->contains(*address);
  }
  std::string name, entry_port;
  if (!split_host(entry, &name, &entry_port) || name.empty()) return false;
  if (!entry_port.empty() && entry_port != port) return false;
  if (std::optional<IpAddress> one = IpAddress::parse(name)) return address && *one == *address;
  if (address) return false;
  if (name.starts_with("*.")) name.erase(0, 1);
  if (name.starts_with('.')) return host.ends_with(name);
  return host == name || host.ends_with("." + name);
}

std::string from_environment(const char* upper, const char* lower) {
  for (const char* name : {upper, lower}) {
    const char* value = std::getenv(name);
    if (value && *value) return value;
  }
  return "";
}

Task<Status> send_all(Context ctx, std::shared_ptr<Fd> fd, std::string text) {
  std::string_view rest = text;
  while (!rest.empty()) {
    ssize_t n = ::send(fd->get(), rest.data(), rest.size(), MSG_NOSIGNAL);
    if (n > 0) {
      rest.remove_prefix(static_cast<size_t>(n));
    } else if (errno == EAGAIN) {
      TRY_CO(fd->wait_writable(&ctx));
    } else if (errno != EINTR) {
      co_return Status::unavailable("proxyconnect tcp: write failed");
    }
  }
  co_return Status();
}

// The head of the answer and not a byte more: what follows is the server's.
Task<Result<std::string>> receive_head(Context ctx, std::shared_ptr<Fd> fd) {
  std::string head;
  while (!head.ends_with(kHeadEnd)) {
    if (head.size() >= kMaxAnswer) {
      co_return Status::unavailable("proxyconnect tcp: the proxy's answer is too long");
    }
    char c;
    ssize_t n = ::recv(fd->get(), &c, 1, 0);
    if (n == 1) {
      head += c;
    } else if (n == 0) {
      co_return Status::unavailable("proxyconnect tcp: unexpected EOF");
    } else if (errno == EAGAIN) {
      TRY_CO(fd->wait_readable(&ctx));
    } else if (errno != EINTR) {
      co_return Status::unavailable("proxyconnect tcp: read failed");
    }
  }
  co_return head;
}

struct Way {
  HttpProxy proxy;
  std::string host;
  uint16_t port;
  std::optional<ClientTls> tls;
  std::shared_ptr<TlsContext> context;  // made once
};

Task<Result<TlsConnection>> connect(Context ctx, std::shared_ptr<Way> way) {
  auto fd = co_await connect_socket(ctx, way->proxy.host, way->proxy.port, -1);
  if (!fd.ok()) co_return fd.status().with_prefix("proxyconnect tcp");
  std::string to = host_port(way->host, way->port);
  std::string request = "CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n";
  if (!way->proxy.authorization.empty()) {
    request += "Proxy-Authorization: " + way->proxy.authorization + "\r\n";
  }
  request += "\r\n";
  TRY_CO(send_all(ctx, *fd, std::move(request)));
  auto head = co_await receive_head(ctx, *fd);
  if (!head.ok()) co_return head.status();
  std::string line = head->substr(0, head->find('\r'));
  if (!line.starts_with("HTTP/1.") || line.size() < 12 || line[8] != ' ') {
    co_return Status::unavailable("proxyconnect tcp: malformed HTTP response");
  }
  if (line[9] != '2') {
    std::string why = line.size() > 13 ? line.substr(13) : line.substr(9);
    co_return Status::unavailable(std::move(why));
  }
  if (!way->tls) {
    TlsConnection plain;
    plain.transport = plain_transport(std::move(*fd));
    co_return plain;
  }
  if (!way->context) {
    auto made = client_tls(*way->tls, false);
    if (!made.ok()) co_return made.status();
    way->context = std::move(*made);
  }
  std::string name = way->host;
  if (!way->tls->server_name.empty()) name = way->tls->server_name;
  co_return co_await tls_handshake(std::move(*fd), way->context, false, name, &ctx);
}

}  // namespace

Result<HttpProxy> parse_proxy_url(std::string_view url) {
  std::string whole(url);
  Status bad = Status::bad_request("invalid proxy address " + quoted(whole));
  if (size_t scheme = url.find("://"); scheme != url.npos) {
    if (ascii_lower(url.substr(0, scheme)) != "http") {
      return Status::bad_request("unsupported proxy scheme " + quoted(url.substr(0, scheme)) +
                                 ": this client speaks plain HTTP to proxies");
    }
    url.remove_prefix(scheme + 3);
  }
  url = url.substr(0, url.find_first_of("/?#"));
  HttpProxy out;
  if (size_t at = url.rfind('@'); at != url.npos) {
    std::string_view who = url.substr(0, at);
    size_t colon = who.find(':');
    auto user = percent_decode(who.substr(0, colon));
    auto password = percent_decode(colon == who.npos ? "" : who.substr(colon + 1));
    if (!user || !password) return bad;
    out.authorization = "Basic " + base64_encode(*user + ":" + *password);
    url.remove_prefix(at + 1);
  }
  std::string port;
  if (!split_host(url, &out.host, &port) || out.host.empty()) return bad;
  if (!port.empty() && !read_port(port, &out.port)) return bad;
  if (out.host.find_first_of(" \t\r\n") != out.host.npos) return bad;
  return out;
}

bool needs_proxy(std::string_view no_proxy, std::string_view server, uint16_t port) {
  std::string host = ascii_lower(server);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost" || host.starts_with("unix:")) return false;
  std::optional<IpAddress> address = IpAddress::parse(host);
  if (address && address->is_loopback()) return false;
  for (std::string_view one : split_list(no_proxy)) {
    std::string entry = ascii_lower(trim(one));
    if (!entry.empty() && is_exempt(entry, host, address, std::to_string(port))) return false;
  }
  return true;
}

Result<std::optional<HttpProxy>> proxy_of_environment(const Endpoint& endpoint) {
  std::string url = endpoint.tls ? from_environment("HTTPS_PROXY", "https_proxy")
                                 : from_environment("HTTP_PROXY", "http_proxy");
  std::string exempt = from_environment("NO_PROXY", "no_proxy");
  if (url.empty() || !needs_proxy(exempt, endpoint.host, endpoint.port)) {
    return std::optional<HttpProxy>();
  }
  TRY_ASSIGN(proxy, parse_proxy_url(url));
  return std::optional<HttpProxy>(proxy);
}

void connect_through(const HttpProxy& proxy, Endpoint* endpoint) {
  auto way = std::make_shared<Way>();
  way->proxy = proxy;
  way->host = endpoint->host;
  way->port = endpoint->port;
  way->tls = endpoint->tls;
  endpoint->dial = [way](Context ctx) { return connect(ctx, way); };
}

}  // namespace keles::net
