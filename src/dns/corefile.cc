#include "dns/corefile.h"

#include <algorithm>
#include <charconv>

#include "base/ascii.h"

namespace keles::dns {
namespace {

constexpr size_t kMostBytes = 1u << 20;
constexpr uint16_t kDnsPort = 53;

struct Token {
  std::string text;
  int line = 0;
  bool first = false;  // of its line
};

std::string zone_of(std::string_view text) {
  std::string out = ascii_lower(text);
  while (out.ends_with('.')) out.pop_back();
  return out;
}

std::vector<Token> tokens_of(std::string_view text) {
  std::vector<Token> out;
  int line = 1;
  bool first = true;
  for (size_t i = 0; i < text.size();) {
    const char c = text[i];
    if (c == '\n') {
      ++line, ++i, first = true;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++i;
    } else if (c == '#') {
      while (i < text.size() && text[i] != '\n') ++i;
    } else {
      Token t{{}, line, first};
      first = false;
      if (c == '"') {
        for (++i; i < text.size() && text[i] != '"'; ++i) {
          if (text[i] == '\\' && i + 1 < text.size() && text[i + 1] == '"') ++i;
          if (text[i] == '\n') ++line;
          t.text += text[i];
        }
        if (i < text.size()) ++i;
      } else {
        while (i < text.size() &&
               std::string_view(" \t\r\n").find(text[i]) == std::string_view::npos)
          t.text += text[i++];
      }
      out.push_back(std::move(t));
    }
  }
  return out;
}

std::optional<uint32_t> number(std::string_view text, uint32_t most) {
  uint32_t n = 0;
  auto r = std::from_chars(text.data(), text.data() + text.size(), n);
  if (r.ec != std::errc() || r.ptr != text.data() + text.size() || n > most) return std::nullopt;
  return n;
}

// "5s", "30s", "1m", "500ms".
std::optional<Duration> duration(std::string_view text) {
  const size_t unit = text.find_first_not_of("0123456789");
  if (unit == text.npos || unit == 0) return std::nullopt;
  auto n = number(text.substr(0, unit), 1'000'000);
  const std::string_view of = text.substr(unit);
  if (!n) return std::nullopt;
  if (of == "ms") return Duration(std::chrono::milliseconds(*n));
  if (of == "s") return Duration(std::chrono::seconds(*n));
  if (of == "m") return Duration(std::chrono::minutes(*n));
  if (of == "h") return Duration(std::chrono::hours(*n));
  return std::nullopt;
}

// "10.0.0.1", "10.0.0.1:5353", "[fd00::1]:53", "dns://10.0.0.1", "fd00::1".
std::optional<Upstream> upstream(std::string_view text) {
  if (text.starts_with("dns://")) text.remove_prefix(6);
  Upstream out;
  std::string_view host = text, port;
  if (text.starts_with('[')) {
    const size_t end = text.find("]:");
    if (end == text.npos) return std::nullopt;
    host = text.substr(1, end - 1), port = text.substr(end + 2);
  } else if (std::count(text.begin(), text.end(), ':') == 1) {
    host = text.substr(0, text.find(':')), port = text.substr(text.find(':') + 1);
  }
  auto ip = IpAddress::parse(host);
  if (!ip) return std::nullopt;
  out.ip = ip->text();
  if (!port.empty()) {
    auto n = number(port, 65535);
    if (!n || *n == 0) return std::nullopt;
    out.port = static_cast<uint16_t>(*n);
  }
  return out;
}

class Parser {
 public:
  Parser(std::vector<Token> tokens, std::string_view domain)
      : tokens_(std::move(tokens)), domain_(zone_of(domain)) {}

  Result<DnsConfig> parse() {
    while (at_ < tokens_.size()) TRY(server_block());
    if (out_.blocks.empty()) return error("no server block");
    return std::move(out_);
  }

 private:
  using Words = std::vector<std::string>;

  Status error(const std::string& what) const {
    const int line = tokens_.empty() ? 1 : tokens_[std::min(at_, tokens_.size() - 1)].line;
    return error_at(line, what);
  }
  static Status error_at(int line, const std::string& what) {
    return Status::bad_request("Corefile:" + std::to_string(line) +
                               " - Error during parsing: " + what);
  }

  // "example.org:53 other.org {": keys may be parted by commas.
  Status server_block() {
    ServerBlock block;
    for (; at_ < tokens_.size() && tokens_[at_].text != "{"; ++at_) {
      std::string_view key = tokens_[at_].text;
      while (!key.empty() && key.back() == ',') key.remove_suffix(1);
      if (key.starts_with("dns://")) key.remove_prefix(6);
      if (key.find("://") != key.npos)
        return error("unsupported transport in '" + std::string(key) + "'");
      if (key == "import" || key.starts_with('(')) {
        return error("Unknown directive '" + std::string(key) + "'");
      }
      if (const size_t colon = key.rfind(':'); colon != key.npos) {
        auto port = number(key.substr(colon + 1), 65535);
        if (!port) return error("invalid port in '" + std::string(key) + "'");
        if (*port != kDnsPort) {
          return error("port " + std::to_string(*port) +
                       ": this server answers at the cluster's DNS port alone, which is 53");
        }
        key = key.substr(0, colon);
      }
      block.zones.push_back(zone_of(key.empty() ? "." : key));
    }
    if (at_ == tokens_.size()) return error("Unexpected token, expecting '{'");
    if (block.zones.empty()) block.zones.emplace_back();
    for (const ServerBlock& other : out_.blocks) {
      for (const std::string& zone : block.zones) {
        if (std::find(other.zones.begin(), other.zones.end(), zone) != other.zones.end())
          return error("cannot serve dns://" + zone + ".:53 - it is already defined");
      }
    }
    ++at_;
    while (at_ < tokens_.size() && tokens_[at_].text != "}") TRY(plugin(block));
    if (at_ == tokens_.size()) return error("Unexpected EOF, expecting '}'");
    ++at_;
    out_.blocks.push_back(std::move(block));
    return Status();
  }

  // The words of a line behind its first; a block that opens on it is left.
  Words rest_of_line() {
    Words out;
    const int line = tokens_[at_++].line;
    while (at_ < tokens_.size() && tokens_[at_].line == line && tokens_[at_].text != "{" &&
           tokens_[at_].text != "}") {
      out.push_back(tokens_[at_++].text);
    }
    return out;
  }

  // Each line of the block that follows, if one does: its first word and the others.
  template <class Property>
  Status block_lines(Property property) {
    if (at_ >= tokens_.size() || tokens_[at_].text != "{") return Status();
    ++at_;
    while (at_ < tokens_.size() && tokens_[at_].text != "}") {
      const std::string name = tokens_[at_].text;
      const int line = tokens_[at_].line;
      const Words words = rest_of_line();
      Status s = property(name, words);
      if (!s.ok()) return error_at(line, s.message());
    }
    if (at_ == tokens_.size()) return error("Unexpected EOF, expecting '}'");
    ++at_;
    return Status();
  }

  Status plugin(ServerBlock& block) {
    const std::string name = tokens_[at_].text;
    const int line = tokens_[at_].line;
    const Words words = rest_of_line();
    Status s = known(name, words, block);
    if (s.ok() || s.message().starts_with("Corefile:")) return s;
    return error_at(line, s.message());
  }

  Status known(const std::string& name, const Words& words, ServerBlock& block) {
    auto none = [&] {
      return block_lines([&](const std::string& p, const Words&) { return property(name, p); });
    };
    if (name == "errors" || name == "log" || name == "loop") {
      if (!words.empty()) return bad(name, "no arguments are understood");
      (name == "errors" ? block.errors : name == "log" ? block.log : block.loop) = true;
      return none();
    }
    if (name == "reload") return none();  // changes are followed as they come
    if (name == "loadbalance") {
      if (words.size() > 1 || (words.size() == 1 && words[0] != "round_robin"))
        return bad(name, "unknown policy: " + words[0]);
      block.rotate = true;
      return none();
    }
    if (name == "health") return health(words);
    if (name == "ready") return listener(name, words, 8181, &out_.ready);
    if (name == "prometheus") return listener(name, words, 9153, &out_.metrics);
    if (name == "kubernetes") return cluster(words, block);
    if (name == "hosts") return hosts(words, block);
    if (name == "forward") return forward(words, block);
    if (name == "cache") return cache(words, block);
    return Status::bad_request("Unknown directive '" + name + "'");
  }

  static Status bad(const std::string& plugin, const std::string& what) {
    return Status::bad_request("plugin/" + plugin + ": " + what);
  }
  static Status property(const std::string& plugin, const std::string& name) {
    return bad(plugin, "unknown property '" + name + "'");
  }

  Status listener(const std::string& name, const Words& words, uint16_t port,
                  std::optional<ListenAddress>* to) {
    ListenAddress address{"", port};
    if (words.size() > 1) return bad(name, "Wrong argument count or unexpected line ending");
    if (words.size() == 1) {
      std::string_view text = words[0];
      const size_t colon = text.rfind(':');
      auto n = colon == text.npos ? std::nullopt : number(text.substr(colon + 1), 65535);
      std::string_view host = text.substr(0, std::min(colon, text.size()));
      if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
      auto ip = IpAddress::parse(host);
      if (!n || (!host.empty() && host != "localhost" && !ip))
        return bad(name, "not an address: " + words[0]);
      address.port = static_cast<uint16_t>(*n);
      address.ip = host == "localhost" ? "127.0.0.1" : ip ? ip->text() : "";
    }
    *to = address;
    return block_lines([&](const std::string& p, const Words&) { return property(name, p); });
  }

  Status health(const Words& words) {
    ListenAddress address{"", 8080};
    std::optional<ListenAddress> read;
    const size_t here = at_;
    // The block is health's own: listener() is to see none.
    if (at_ < tokens_.size() && tokens_[at_].text == "{") at_ = tokens_.size();
    TRY(listener("health", words, address.port, &read));
    at_ = here;
    out_.health = read;
    return block_lines([&](const std::string& p, const Words& values) {
      auto wait = p == "lameduck" && values.size() == 1 ? duration(values[0]) : std::nullopt;
      if (p != "lameduck") return property("health", p);
      if (!wait) return bad("health", "invalid lameduck duration");
      out_.warnings.push_back("plugin/health: lameduck: this server ends with the control plane");
      return Status();
    });
  }

  static std::vector<std::string> zones_of(const Words& words) {
    std::vector<std::string> out;
    for (const std::string& w : words) out.push_back(zone_of(w));
    return out;
  }

  Status cluster(const Words& words, ServerBlock& block) {
    ClusterZones c;
    c.zones = words.empty() ? block.zones : zones_of(words);
    for (const std::string& zone : c.zones) {
      const bool reverse = in_zone(zone, "in-addr.arpa") || in_zone(zone, "ip6.arpa");
      if (!reverse && zone != domain_)
        return bad("kubernetes", "zone '" + zone + ".' is not the cluster's domain, " + domain_);
    }
    TRY(block_lines([&](const std::string& p, const Words& values) {
      if (p == "fallthrough") {
        c.fallthrough = zones_of(values);
      } else if (p == "ttl") {
        auto n = values.size() == 1 ? number(values[0], 3600) : std::nullopt;
        if (!n) return bad("kubernetes", "ttl must be in range [0, 3600]");
        c.ttl_seconds = *n;
      } else if (p == "pods") {
        const std::string mode = values.size() == 1 ? values[0] : "";
        if (mode == "verified") return bad("kubernetes", "pods verified is not supported");
        if (mode != "disabled" && mode != "insecure")
          return bad("kubernetes", "wrong value for pods: " + mode);
        c.pods = mode == "insecure";
      } else {
        return property("kubernetes", p);
      }
      return Status();
    }));
    block.cluster = std::move(c);
    return Status();
  }

  Status hosts(const Words& words, ServerBlock& block) {
    HostsTable h;
    for (const std::string& w : words) {
      if (w.find('/') != w.npos)
        return bad("hosts", "files are not read (" + w + "): say the entries inline");
    }
    h.zones = words.empty() ? block.zones : zones_of(words);
    TRY(block_lines([&](const std::string& p, const Words& values) {
      if (p == "fallthrough") {
        h.fallthrough = zones_of(values);
      } else if (p == "ttl") {
        auto n = values.size() == 1 ? number(values[0], 65535) : std::nullopt;
        if (!n || *n == 0) return bad("hosts", "ttl provided is invalid");
        h.ttl_seconds = *n;
      } else if (auto ip = IpAddress::parse(p)) {
        for (const std::string& name : zones_of(values)) {
          h.names[name].push_back(*ip);
          h.addresses[*ip].push_back(name);
        }
      } else {
        return property("hosts", p);
      }
      return Status();
    }));
    block.hosts = std::move(h);
    return Status();
  }

  Status forward(const Words& words, ServerBlock& block) {
    if (words.size() < 2) return bad("forward", "Wrong argument count or unexpected line ending");
    Forward f;
    f.from = zone_of(words[0]);
    for (size_t i = 1; i < words.size(); ++i) {
      if (words[i] == "/etc/resolv.conf") {
        f.hosts_own = true;
      } else if (auto to = upstream(words[i])) {
        f.to.push_back(*to);
      } else {
        return bad("forward", "not an IP address or file: \"" + words[i] + "\"");
      }
    }
    TRY(block_lines([&](const std::string& p, const Words& values) {
      const std::string value = values.size() == 1 ? values[0] : "";
      if (p == "except") {
        f.except = zones_of(values);
      } else if (p == "force_tcp" && values.empty()) {
        f.force_tcp = true;
      } else if (p == "prefer_udp" && values.empty()) {
        // As it is anyway, unless the client came over TCP.
      } else if (p == "policy") {
        if (value != "random" && value != "round_robin" && value != "sequential")
          return bad("forward", "unknown policy '" + value + "'");
        f.policy = value == "random"        ? Forward::Policy::kRandom
                   : value == "round_robin" ? Forward::Policy::kRoundRobin
                                            : Forward::Policy::kSequential;
      } else if (p == "max_concurrent") {
        auto n = number(value, 1'000'000);
        if (!n) return bad("forward", "max_concurrent can't be negative: " + value);
        f.max_concurrent = static_cast<int>(*n);
      } else {
        return property("forward", p);
      }
      return Status();
    }));
    block.forwards.push_back(std::move(f));
    return Status();
  }

  Status cache(const Words& words, ServerBlock& block) {
    block.cache_seconds = 3600;
    if (!words.empty()) {
      auto n = words.size() == 1 ? number(words[0], 86400) : std::nullopt;
      if (!n || *n == 0) return bad("cache", "cache TTL can not be zero or negative: " + words[0]);
      block.cache_seconds = *n;
    }
    return block_lines([&](const std::string& p, const Words& values) {
      // What the cluster's zone says is never kept: it is at hand, and always of now.
      const bool ours = values.size() == 2 && zone_of(values[1]) == domain_;
      if (p == "disable" && ours && (values[0] == "success" || values[0] == "denial"))
        return Status();
      return property("cache", p);
    });
  }

  std::vector<Token> tokens_;
  std::string domain_;
  size_t at_ = 0;
  DnsConfig out_;
};

}  // namespace

bool in_zone(std::string_view name, std::string_view zone) {
  if (zone.empty() || name == zone) return true;
  return name.size() > zone.size() && name.ends_with(zone) &&
         name[name.size() - zone.size() - 1] == '.';
}

const ServerBlock* DnsConfig::block_of(std::string_view name) const {
  const ServerBlock* best = nullptr;
  size_t longest = 0;
  for (const ServerBlock& block : blocks) {
    for (const std::string& zone : block.zones) {
      if (!in_zone(name, zone) || (best && zone.size() <= longest)) continue;
      best = &block;
      longest = zone.size();
    }
  }
  return best;
}

Result<DnsConfig> parse_corefile(std::string_view text, std::string_view domain) {
  if (text.size() > kMostBytes) return Status::bad_request("Corefile: larger than a megabyte");
  return Parser(tokens_of(text), domain).parse();
}

std::string default_corefile(std::string_view domain) {
  // Other ports than CoreDNS' own 8080 and 8181: this server has no network of its own, and those
  // are what people give to their programs.
  return R"(.:53 {
    errors
    health :9151
    ready :9152
    kubernetes )" +
         std::string(domain) + R"( in-addr.arpa ip6.arpa {
       pods insecure
       fallthrough in-addr.arpa ip6.arpa
       ttl 30
    }
    prometheus :9153
    forward . /etc/resolv.conf {
       max_concurrent 1000
    }
    cache 30 {
       disable success )" +
         std::string(domain) + R"(
       disable denial )" +
         std::string(domain) + R"(
    }
    loop
    reload
    loadbalance
}
)";
}

}  // namespace keles::dns
