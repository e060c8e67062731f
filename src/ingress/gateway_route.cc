// An HTTPRoute's rule as rules of the table: one for each of its matches. What is not understood,
// or not done, is an error and no rule.
#include "ingress/gateway_plan.h"
#include "machinery/time.h"

namespace keles::ingress {
namespace {

Status unsupported(const std::string& what) {
  return Status::bad_request(what + " is not supported");
}

// A field that none of these names has.
Status only(const Value& object, std::initializer_list<std::string_view> known,
            const std::string& where) {
  for (const Member& m : object.members()) {
    bool found = false;
    for (std::string_view k : known) found = found || k == m.key();
    if (!found) return unsupported(where + "." + std::string(m.key()));
  }
  return Status();
}

Result<NameValue> name_value(const Value& v, const std::string& where) {
  const auto name = Token::parse(v["name"].as_string());
  const auto value = Text::parse(v["value"].as_string());
  if (!name) return unsupported("a name in " + where + " of other than letters, digits, - and _");
  if (!value) return unsupported("a value in " + where + " of other than printable ASCII");
  NameValue out;
  out.name = *name;
  out.value = *value;
  return out;
}

Result<std::vector<NameValue>> matches_of(const Value& list, const std::string& where) {
  std::vector<NameValue> out;
  for (const Value& v : list.items()) {
    const std::string_view type = v["type"].as_string();
    if (!type.empty() && type != "Exact")
      return unsupported(where + " of type " + std::string(type));
    TRY_ASSIGN(one, name_value(v, where));
    out.push_back(std::move(one));
  }
  return out;
}

Status read_match(const Value& match, Rule* rule) {
  TRY(only(match, {"path", "method", "headers", "queryParams"}, "matches"));
  const std::string_view type = match["path"]["type"].as_string();
  const std::string_view text = match["path"]["value"].as_string();
  const auto path = Path::parse(text.empty() ? "/" : text);
  if (!type.empty() && type != "Exact" && type != "PathPrefix")
    return unsupported("matches.path of type " + std::string(type));
  if (!path) return unsupported("matches.path that long");
  rule->exact = type == "Exact";
  rule->path = rule->exact ? path->text() : path->elements();
  rule->method = match["method"].as_string();
  if (!rule->method.empty() && !is_method(rule->method)) return unsupported("matches.method");
  TRY_ASSIGN(headers, matches_of(match["headers"], "matches.headers"));
  TRY_ASSIGN(queries, matches_of(match["queryParams"], "matches.queryParams"));
  rule->headers = std::move(headers);
  rule->queries = std::move(queries);
  return Status();
}

Status read_headers(const Value& v, const std::string& where, HeaderChange* out) {
  for (const Value& h : v["set"].items()) {
    TRY_ASSIGN(one, name_value(h, where));
    out->set.push_back(std::move(one));
  }
  for (const Value& h : v["add"].items()) {
    TRY_ASSIGN(one, name_value(h, where));
    out->add.push_back(std::move(one));
  }
  for (const Value& h : v["remove"].items()) {
    const auto name = Token::parse(h.as_string());
    if (!name) return unsupported("a name in " + where + " of other than letters, digits, - and _");
    out->remove.push_back(*name);
  }
  return Status();
}

Status read_path(const Value& v, Rule* rule) {
  if (v.is_null()) return Status();
  const bool full = v["type"].as_string() == "ReplaceFullPath";
  const std::string_view text =
      full ? v["replaceFullPath"].as_string() : v["replacePrefixMatch"].as_string();
  const auto path = Path::parse(text.empty() ? "/" : text);
  if (!path) return unsupported("a path to put in the place of another that does not begin with /");
  if (!full && rule->exact) return unsupported("replacePrefixMatch beside an exact path");
  rule->path_change.kind = full ? PathChange::Kind::kFull : PathChange::Kind::kPrefix;
  rule->path_change.to = path->text();
  return Status();
}

Status read_hostname(const Value& v, Host* out) {
  if (v.is_null()) return Status();
  const auto host = Host::parse(v.as_string());
  if (!host || host->text() != host->key()) return unsupported("such a hostname in a filter");
  *out = *host;
  return Status();
}

Status read_redirect(const Value& v, Rule* rule) {
  Redirect r;
  r.scheme = v["scheme"].as_string();
  if (!r.scheme.empty() && r.scheme != "http" && r.scheme != "https")
    return unsupported("requestRedirect.scheme " + r.scheme);
  TRY(read_hostname(v["hostname"], &r.hostname));
  const int64_t port = v["port"].as_int(), code = v["statusCode"].as_int();
  if (port < 0 || port > 65535) return unsupported("requestRedirect.port");
  r.port = static_cast<uint16_t>(port);
  r.code = code == 0 ? 302 : static_cast<int>(code);
  if (code != 0 && code != 301 && code != 302 && code != 303 && code != 307 && code != 308)
    return unsupported("requestRedirect.statusCode");
  TRY(read_path(v["path"], rule));
  rule->redirect = r;
  return Status();
}

Status read_filter(const Value& f, Rule* rule) {
  const std::string_view type = f["type"].as_string();
  if (type == "RequestHeaderModifier")
    return read_headers(f["requestHeaderModifier"], "requestHeaderModifier", &rule->request);
  if (type == "ResponseHeaderModifier")
    return read_headers(f["responseHeaderModifier"], "responseHeaderModifier", &rule->response);
  if (type == "RequestRedirect") return read_redirect(f["requestRedirect"], rule);
  if (type == "URLRewrite") {
    TRY(read_hostname(f["urlRewrite"]["hostname"], &rule->rewrite_host));
    return read_path(f["urlRewrite"]["path"], rule);
  }
  return unsupported("a filter of type " + std::string(type));
}

// Of the limits for an answer the lower one.
Status read_timeouts(const Value& v, Rule* rule) {
  for (const char* key : {"request", "backendRequest"}) {
    if (v[key].is_null()) continue;
    TRY_ASSIGN(d, parse_duration(v[key].as_string()));
    const int64_t ms = d / 1ms;
    if (ms < 0 || ms > 86'400'000) return unsupported("timeouts." + std::string(key));
    if (ms > 0 && (rule->timeout_ms == 0 || ms < rule->timeout_ms)) rule->timeout_ms = ms;
  }
  return Status();
}

}  // namespace

Result<std::vector<Rule>> read_rule(const Value& rule) {
  TRY(only(rule, {"name", "matches", "filters", "backendRefs", "timeouts"}, "rules"));
  for (const Value& b : rule["backendRefs"].items())
    if (!b["filters"].empty()) return unsupported("backendRefs.filters");
  std::vector<Rule> out;
  auto add = [&](const Value& match) -> Status {
    Rule r;
    TRY(read_match(match, &r));
    for (const Value& f : rule["filters"].items()) TRY(read_filter(f, &r));
    TRY(read_timeouts(rule["timeouts"], &r));
    out.push_back(std::move(r));
    return Status();
  };
  if (rule["matches"].empty()) TRY(add(Value::null()));
  for (const Value& m : rule["matches"].items()) TRY(add(m));
  return out;
}

}  // namespace keles::ingress
