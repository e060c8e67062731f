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

Result<Expression> expression(std::string_view text, const std::string& where) {
  auto out = Expression::parse(text);
  if (!out.ok())
    return unsupported("the regular expression of " + where + " (" +
                       std::string(out.status().message()) + ")");
  return out;
}

Result<std::vector<Match>> matches_of(const Value& list, const std::string& where) {
  std::vector<Match> out;
  for (const Value& v : list.items()) {
    const std::string_view type = v["type"].as_string();
    if (!type.empty() && type != "Exact" && type != "RegularExpression")
      return unsupported(where + " of type " + std::string(type));
    TRY_ASSIGN(read, name_value(v, where));
    Match one;
    one.name = std::move(read.name);
    one.value = std::move(read.value);
    if (type == "RegularExpression") {
      TRY_ASSIGN(like, expression(v["value"].as_string(), where));
      one.like = std::move(like);
    }
    out.push_back(std::move(one));
  }
  return out;
}

Status read_match_path(const Value& v, Rule* rule) {
  const std::string_view type = v["type"].as_string();
  const std::string_view given = v["value"].as_string(), text = given.empty() ? "/" : given;
  if (type == "RegularExpression") {
    TRY_ASSIGN(like, expression(text, "matches.path"));
    rule->path_match = Rule::PathMatch::kExpression;
    rule->path = like.text();
    return Status();
  }
  if (!type.empty() && type != "Exact" && type != "PathPrefix")
    return unsupported("matches.path of type " + std::string(type));
  const auto path = Path::parse(text);
  if (!path) return unsupported("matches.path that long");
  const bool exact = type == "Exact";
  rule->path_match = exact ? Rule::PathMatch::kExact : Rule::PathMatch::kPrefix;
  rule->path = exact ? path->text() : path->elements();
  return Status();
}

Status read_match(const Value& match, Rule* rule) {
  TRY(only(match, {"path", "method", "headers", "queryParams"}, "matches"));
  TRY(read_match_path(match["path"], rule));
  rule->method = match["method"].as_string();
  if (!rule->method.empty() && !is_method(rule->method)) return unsupported("matches.method");
  TRY_ASSIGN(headers, matches_of(match["headers"], "matches.headers"));
  TRY_ASSIGN(queries, matches_of(match["queryParams"], "matches.queryParams"));
  rule->headers = std::move(headers);
  rule->queries = std::move(queries);
  return Status();
}

// A service or a method of gRPC: a part of a path.
Result<std::string> grpc_part(std::string_view text) {
  const auto path = Path::parse("/" + std::string(text));
  if (!path || text.find('/') != std::string_view::npos)
    return unsupported("such a matches.method");
  return path->text();
}

// gRPC's calls are POST /service/method.
Status read_grpc_match(const Value& match, Rule* rule) {
  TRY(only(match, {"method", "headers"}, "matches"));
  const Value& m = match["method"];
  const std::string_view type = m["type"].as_string();
  const std::string_view service = m["service"].as_string(), method = m["method"].as_string();
  TRY_ASSIGN(headers, matches_of(match["headers"], "matches.headers"));
  rule->headers = std::move(headers);
  const bool like = type == "RegularExpression";
  if (!type.empty() && type != "Exact" && !like)
    return unsupported("matches.method of type " + std::string(type));
  if (like || (service.empty() && !method.empty())) {
    auto part = [like](std::string_view t) {
      // A name of gRPC's as it is; a dot in it is a dot.
      return t.empty() ? "[^/]+"
             : like    ? "(?:" + std::string(t) + ")"
                       : "\\Q" + std::string(t) + "\\E";
    };
    for (std::string_view t : {service, method}) {
      if (like && !t.empty()) TRY(expression(t, "matches.method").status());
      if (!like && !t.empty()) TRY(grpc_part(t).status());
    }
    TRY_ASSIGN(whole, expression("/" + part(service) + "/" + part(method), "matches.method"));
    rule->path_match = Rule::PathMatch::kExpression;
    rule->path = whole.text();
    return Status();
  }
  rule->path = "/";
  if (service.empty()) return Status();
  TRY_ASSIGN(first, grpc_part(service));
  rule->path = first + "/";
  if (method.empty()) return Status();
  TRY_ASSIGN(second, grpc_part(method));
  rule->path_match = Rule::PathMatch::kExact;
  rule->path = first + second;
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
  if (!full && rule->path_match != Rule::PathMatch::kPrefix)
    return unsupported("replacePrefixMatch beside a path that is no prefix");
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

Status read_names(const Value& list, const std::string& where, Cors::Names* out) {
  for (const Value& v : list.items()) {
    const auto name = Token::parse(v.as_string());
    if (v.as_string() == "*") {
      out->any = true;
    } else if (name) {
      out->names.push_back(*name);
    } else {
      return unsupported("a name in " + where + " of other than letters, digits, - and _");
    }
  }
  return Status();
}

Status read_cors(const Value& v, Rule* rule) {
  TRY(only(v,
           {"allowOrigins", "allowCredentials", "allowMethods", "allowHeaders", "exposeHeaders",
            "maxAge"},
           "cors"));
  Cors c;
  for (const Value& o : v["allowOrigins"].items()) {
    const auto origin = Cors::Origin::parse(o.as_string());
    if (!origin) return unsupported("such an origin in cors.allowOrigins");
    c.origins.push_back(*origin);
  }
  c.credentials = v["allowCredentials"].as_bool();
  TRY(read_names(v["allowMethods"], "cors.allowMethods", &c.methods));
  TRY(read_names(v["allowHeaders"], "cors.allowHeaders", &c.headers));
  TRY(read_names(v["exposeHeaders"], "cors.exposeHeaders", &c.exposed));
  if (!v["maxAge"].is_null()) c.max_age = v["maxAge"].as_int();
  if (c.max_age < 0) return unsupported("such a cors.maxAge");
  rule->cors = std::move(c);
  return Status();
}

Status read_filter(const Value& f, bool grpc, Rule* rule) {
  const std::string_view type = f["type"].as_string();
  if (type == "RequestHeaderModifier")
    return read_headers(f["requestHeaderModifier"], "requestHeaderModifier", &rule->request);
  if (type == "ResponseHeaderModifier")
    return read_headers(f["responseHeaderModifier"], "responseHeaderModifier", &rule->response);
  if (!grpc && type == "RequestRedirect") return read_redirect(f["requestRedirect"], rule);
  if (!grpc && type == "CORS") return read_cors(f["cors"], rule);
  if (!grpc && type == "URLRewrite") {
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

Result<std::vector<Rule>> read_rule(const Value& rule, bool grpc) {
  TRY(only(rule, {"name", "matches", "filters", "backendRefs", "timeouts"}, "rules"));
  std::vector<Rule> out;
  auto add = [&](const Value& match) -> Status {
    Rule r;
    r.grpc = grpc;
    TRY(grpc ? read_grpc_match(match, &r) : read_match(match, &r));
    for (const Value& f : rule["filters"].items()) TRY(read_filter(f, grpc, &r));
    TRY(read_timeouts(rule["timeouts"], &r));
    out.push_back(std::move(r));
    return Status();
  };
  if (rule["matches"].empty()) TRY(add(Value::null()));
  for (const Value& m : rule["matches"].items()) TRY(add(m));
  return out;
}

Status read_share_filters(const Value& filters, Share* share) {
  for (const Value& f : filters.items()) {
    const std::string_view type = f["type"].as_string();
    if (type == "RequestHeaderModifier") {
      TRY(read_headers(f["requestHeaderModifier"], "requestHeaderModifier", &share->request));
    } else if (type == "ResponseHeaderModifier") {
      TRY(read_headers(f["responseHeaderModifier"], "responseHeaderModifier", &share->response));
    } else {
      return unsupported("a filter of type " + std::string(type) + " of a backendRef");
    }
  }
  return Status();
}

}  // namespace keles::ingress
