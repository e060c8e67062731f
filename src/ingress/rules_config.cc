// Rules as lines of a frontend: an ACL for each thing that is asked, and one line that takes the
// rule when all hold and none was taken before. What follows goes by the rule's name.
#include "ingress/rules.h"

namespace keles::ingress {
namespace {

using std::to_string;

class Writer {
 public:
  explicit Writer(bool secure) : secure_(secure) {}

  void choose(const Rule& r, size_t n) {
    const std::string id = "r" + to_string(n);
    std::string needs;
    auto need = [&](const std::string& suffix, const std::string& test) {
      out_ += "  acl " + id + suffix + " " + test + "\n";
      needs += " " + id + suffix;
    };
    if (!r.host.any()) {
      const bool wildcard = r.host.key().starts_with('.');
      need("-host", std::string("var(txn.host) ") + (wildcard ? "-m end" : "-m str") + " -- " +
                        quoted(r.host.key()));
    }
    need("-path",
         (r.exact ? "var(txn.path) -m str -- " : "var(txn.slashed) -m beg -- ") + quoted(r.path));
    if (!r.method.empty()) need("-method", "method " + r.method);
    for (size_t i = 0; i < r.headers.size(); ++i)
      need("-h" + to_string(i), "req.fhdr(" + r.headers[i].name.text() + ") -m str -- " +
                                    quoted(r.headers[i].value.text()));
    for (size_t i = 0; i < r.queries.size(); ++i)
      need("-q" + to_string(i), "url_param(" + r.queries[i].name.text() +
                                    "),url_dec(1) -m str -- " + quoted(r.queries[i].value.text()));
    out_ += "  http-request set-var(txn.rule) str(" + id + ") if !{ var(txn.rule) -m found }" +
            needs + "\n";
  }

  void act(const Rule& r, size_t n) {
    when_ = " if { var(txn.rule) -m str r" + to_string(n) + " }";
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
  void request(const std::string& what, const std::string& more = "") {
    out_ += "  http-request " + what + when_ + more + "\n";
  }

  void change_path(const Rule& r) {
    if (r.path_change.kind == PathChange::Kind::kNone) return;
    if (r.path_change.kind == PathChange::Kind::kFull || r.exact) {
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
    if (to.port != 0 && to.port != usual) location += ":" + to_string(to.port);
    location +=
        r.path_change.kind == PathChange::Kind::kNone ? "%[var(txn.path)]" : "%[var(txn.newpath)]";
    const std::string code = " code " + to_string(to.code);
    request("redirect location " + location + "?%[query]'" + code, " { query -m len 1: }");
    request("redirect location " + location + "'" + code);
  }

  void headers(const std::string& where, const HeaderChange& change) {
    auto line = [&](const std::string& what) { out_ += "  " + where + " " + what + when_ + "\n"; };
    for (const NameValue& h : change.set)
      line("set-header " + h.name.text() + " " + quoted_format(h.value.text()));
    for (const NameValue& h : change.add)
      line("add-header " + h.name.text() + " " + quoted_format(h.value.text()));
    for (const Token& name : change.remove) line("del-header " + name.text());
  }

  void share_out(const Rule& r) {
    uint64_t total = 0;
    for (const Share& s : r.shares) total += s.weight;
    if (total == 0) return request("return status 500");
    if (r.shares.size() > 1) request("set-var(txn.draw) rand(" + to_string(total) + ")");
    uint64_t until = 0;
    for (const Share& s : r.shares) {
      until += s.weight;
      if (s.weight == 0) continue;
      std::string more;
      if (until < total)
        more = " !{ var(txn.to) -m found } { var(txn.draw) -m int lt " + to_string(until) + " }";
      if (until == total) more = " !{ var(txn.to) -m found }";
      request(s.backend ? "set-var(txn.to) str(" + s.backend->text() + ")" : "return status 500",
              more);
    }
  }

  bool secure_;
  std::string when_, out_;
};

}  // namespace

std::string write_rules(const std::vector<Rule>& rules, bool secure) {
  Writer w(secure);
  for (size_t i = 0; i < rules.size(); ++i)
    if (rules[i].secure == secure) w.choose(rules[i], i);
  for (size_t i = 0; i < rules.size(); ++i)
    if (rules[i].secure == secure) w.act(rules[i], i);
  return w.take();
}

}  // namespace keles::ingress
