// Rules as lines of a frontend: an ACL for each thing that is asked, and one line that takes the
// rule when all hold and none was taken before. What follows goes by the rule's name.
#include <algorithm>

#include "ingress/rules.h"

namespace keles::ingress {
namespace {

using std::to_string;

std::string host_test(const Host& host) {
  return std::string(host.key().starts_with('.') ? "-m end" : "-m str") + " -- " +
         quoted(host.key());
}

// Whose turn it is by the weights, as conditions: `draw` is a number below `total`. Calls `put`
// with each share that has a weight and with its condition.
template <class Put>
void by_weight(const std::vector<Share>& shares, uint64_t total, Put put) {
  uint64_t until = 0;
  for (const Share& s : shares) {
    until += s.weight;
    if (s.weight == 0) continue;
    std::string more = " !{ var(txn.share) -m found }";
    if (until < total) more += " { var(txn.draw) -m int lt " + to_string(until) + " }";
    put(s, more);
  }
}

uint64_t weights(const std::vector<Share>& shares) {
  uint64_t total = 0;
  for (const Share& s : shares) total += s.weight;
  return total;
}

class Writer {
 public:
  Writer(uint16_t port, bool secure) : port_(port), secure_(secure) {}

  void choose(const Rule& r, size_t n) {
    const std::string id = "r" + to_string(n);
    std::string needs;
    auto need = [&](const std::string& suffix, const std::string& test) {
      out_ += "  acl " + id + suffix + " " + test + "\n";
      needs += " " + id + suffix;
    };
    auto value = [](const Match& m) {
      return (m.like ? " -m reg -- " + quoted(m.like->text())
                     : " -m str -- " + quoted(m.value.text()));
    };
    if (!r.host.any()) need("-host", "var(txn.host) " + host_test(r.host));
    need("-path", path_test(r));
    if (!r.method.empty()) need("-method", "method " + r.method);
    for (size_t i = 0; i < r.headers.size(); ++i)
      need("-h" + to_string(i), "req.fhdr(" + r.headers[i].name.text() + ")" + value(r.headers[i]));
    for (size_t i = 0; i < r.queries.size(); ++i)
      need("-q" + to_string(i),
           "url_param(" + r.queries[i].name.text() + "),url_dec(1)" + value(r.queries[i]));
    out_ += "  http-request set-var(txn.rule) str(" + id + ") if !{ var(txn.rule) -m found }" +
            needs + "\n";
  }

  void act(const Rule& r, size_t n) {
    when_ = " if { var(txn.rule) -m str r" + to_string(n) + " }";
    if (r.cors) cors(*r.cors);
    change_path(r);
    if (r.redirect) return redirect(r);
    if (r.path_change.kind != PathChange::Kind::kNone) request("set-path %[var(txn.newpath)]");
    if (!r.rewrite_host.any()) request("set-header Host " + quoted_format(r.rewrite_host.key()));
    if (r.timeout_ms > 0) request("set-timeout server " + to_string(r.timeout_ms) + "ms");
    headers("http-request", r.request);
    headers("http-response", r.response);
    share_out(r);
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string path_test(const Rule& r) {
    switch (r.path_match) {
      case Rule::PathMatch::kExact:
        return "var(txn.path) -m str -- " + quoted(r.path);
      case Rule::PathMatch::kExpression:
        return "var(txn.path) -m reg -- " + quoted(r.path);
      case Rule::PathMatch::kPrefix:
        break;
    }
    return "var(txn.slashed) -m beg -- " + quoted(r.path);
  }

  void request(const std::string& what, const std::string& more = "") {
    out_ += "  http-request " + what + when_ + more + "\n";
  }
  void response(const std::string& what, const std::string& more = "") {
    out_ += "  http-response " + what + when_ + more + "\n";
  }

  // A browser's question beforehand is answered here; other answers say who may read them, by
  // nobody's word but the rule's.
  void cors(const Cors& c) {
    const bool open = !c.credentials && std::any_of(c.origins.begin(), c.origins.end(),
                                                    [](const auto& o) { return o.any(); });
    const std::string allowed = " { var(txn.origin) -m found }";
    for (const Cors::Origin& o : c.origins)
      request("set-var(txn.origin) req.hdr(Origin)",
              o.any() ? " { req.hdr(Origin) -m found }"
                      : " { req.hdr(Origin) -m reg -- " + quoted(o.expression()) + " }");
    const std::string origin = open ? "'*'" : "%[var(txn.origin)]";
    std::string lines;
    auto line = [&lines](const std::string& name, const std::string& value) {
      if (!value.empty()) lines += " hdr " + name + " " + value;
    };
    line("Access-Control-Allow-Origin", origin);
    if (c.credentials) line("Access-Control-Allow-Credentials", "true");
    line("Access-Control-Allow-Methods",
         names(c.methods, c.credentials, "Access-Control-Request-Method"));
    line("Access-Control-Allow-Headers",
         names(c.headers, c.credentials, "Access-Control-Request-Headers"));
    line("Access-Control-Max-Age", to_string(c.max_age));
    if (!open) line("Vary", "Origin");
    const std::string asks =
        " { method OPTIONS } { req.hdr(Origin) -m found }"
        " { req.hdr(Access-Control-Request-Method) -m found }";
    request("return status 204" + lines, asks + allowed);
    request("return status 204", asks);
    for (const char* name : {"Origin", "Credentials"})
      response("del-header Access-Control-Allow-" + std::string(name));
    response("del-header Access-Control-Expose-Headers");
    response("set-header Access-Control-Allow-Origin " + origin, allowed);
    if (c.credentials) response("set-header Access-Control-Allow-Credentials true", allowed);
    const std::string exposed = names(c.exposed, false, "");
    if (!exposed.empty()) response("set-header Access-Control-Expose-Headers " + exposed, allowed);
    if (!open) response("add-header Vary Origin");
  }

  // With credentials "*" is no wildcard to browsers: what was asked for is said again.
  static std::string names(const Cors::Names& n, bool credentials, const std::string& asked) {
    if (n.any) return credentials ? "%[req.hdr(" + asked + ")]" : "'*'";
    std::string out;
    for (const Token& t : n.names) out += (out.empty() ? "" : ", ") + t.text();
    return out.empty() ? out : quoted_format(out);
  }

  void change_path(const Rule& r) {
    if (r.path_change.kind == PathChange::Kind::kNone) return;
    if (r.path_change.kind == PathChange::Kind::kFull || r.path_match != Rule::PathMatch::kPrefix) {
      return request("set-var-fmt(txn.newpath) " + quoted_format(r.path_change.to));
    }
    // The prefix without its last slash gives way to the new one without its own.
    std::string to = r.path_change.to;
    while (to.ends_with('/')) to.pop_back();
    request("set-var(txn.rest) var(txn.path),bytes(" + to_string(r.path.size() - 1) + ")");
    const std::string format = quoted_format(to);
    request("set-var-fmt(txn.newpath) " + format.substr(0, format.size() - 1) +
            "%[var(txn.rest)]'");
    request("set-var(txn.newpath) str(/)", " !{ var(txn.newpath) -m beg / }");
  }

  void redirect(const Rule& r) {
    const Redirect& to = *r.redirect;
    const std::string scheme = !to.scheme.empty() ? to.scheme : secure_ ? "https" : "http";
    std::string location = quoted_format(scheme + "://" + to.hostname.key());
    location.pop_back();
    if (to.hostname.any()) location += "%[var(txn.host)]";
    const uint16_t usual = scheme == "https" ? 443 : 80;
    const uint16_t port = to.port != 0 ? to.port : to.scheme.empty() ? port_ : usual;
    if (port != usual) location += ":" + to_string(port);
    location +=
        r.path_change.kind == PathChange::Kind::kNone ? "%[var(txn.path)]" : "%[var(txn.newpath)]";
    const std::string code = " code " + to_string(to.code);
    request("redirect location " + location + "?%[query]'" + code, " { query -m len 1: }");
    request("redirect location " + location + "'" + code);
  }

  void headers(const std::string& where, const HeaderChange& change, const std::string& more = "") {
    auto line = [&](const std::string& what) {
      out_ += "  " + where + " " + what + when_ + more + "\n";
    };
    for (const NameValue& h : change.set)
      line("set-header " + h.name.text() + " " + quoted_format(h.value.text()));
    for (const NameValue& h : change.add)
      line("add-header " + h.name.text() + " " + quoted_format(h.value.text()));
    for (const Token& name : change.remove) line("del-header " + name.text());
  }

  void share_out(const Rule& r) {
    const uint64_t total = weights(r.shares);
    const std::string none = r.grpc ? "return status 503" : "return status 500";
    if (total == 0) return request(none);
    if (r.shares.size() > 1) request("set-var(txn.draw) rand(" + to_string(total) + ")");
    size_t n = 0;
    by_weight(r.shares, total, [&](const Share& s, const std::string& turn) {
      if (!s.backend) return request(none, turn);
      request("set-var(txn.to) str(" + s.backend->text() + ")", turn);
      request("set-var(txn.share) int(" + to_string(n) + ")", turn);
      const std::string mine = " { var(txn.share) -m int " + to_string(n++) + " }";
      headers("http-request", s.request, mine);
      headers("http-response", s.response, mine);
    });
  }

  uint16_t port_;
  bool secure_;
  std::string when_, out_;
};

}  // namespace

std::string write_rules(const std::vector<Rule>& rules, uint16_t port, bool secure) {
  Writer w(port, secure);
  for (size_t i = 0; i < rules.size(); ++i)
    if (rules[i].port == port) w.choose(rules[i], i);
  for (size_t i = 0; i < rules.size(); ++i)
    if (rules[i].port == port) w.act(rules[i], i);
  return w.take();
}

std::string write_tls_rules(const std::vector<TlsRule>& rules, uint16_t port) {
  std::string out;
  for (size_t i = 0; i < rules.size(); ++i) {
    const TlsRule& r = rules[i];
    if (r.port != port) continue;
    const std::string id = "t" + to_string(i);
    const std::string take = "  tcp-request content ";
    const std::string host = r.host.any() ? "always_true" : "var(txn.sni) " + host_test(r.host);
    out += take + "set-var(txn.rule) str(" + id + ") if !{ var(txn.rule) -m found } { " + host +
           " }\n";
    const std::string when = " if { var(txn.rule) -m str " + id + " }";
    const uint64_t total = weights(r.shares);
    if (total == 0) out += take + "reject" + when + "\n";
    if (r.shares.size() > 1 && total > 0)
      out += take + "set-var(txn.draw) rand(" + to_string(total) + ")" + when + "\n";
    by_weight(r.shares, total, [&](const Share& s, const std::string& turn) {
      if (!s.backend) {
        out += take + "reject" + when + turn + "\n";
        return;
      }
      out += take + "set-var(txn.to) str(" + s.backend->text() + ")" + when + turn + "\n";
      out += take + "set-var(txn.share) int(0)" + when + turn + "\n";
    });
  }
  return out;
}

}  // namespace keles::ingress
