#include "server/audit/event.h"

#include <algorithm>
#include <map>

#include "base/ascii.h"
#include "base/encoding.h"
#include "base/ip.h"
#include "base/text_parts.h"
#include "machinery/codec_json.h"
#include "machinery/status_codec.h"
#include "machinery/time.h"

namespace keles::audit {
namespace {

class Writer {
 public:
  explicit Writer(std::string& out) : out_(out) {}
  void key(std::string_view name) {
    if (!first_) out_ += ',';
    first_ = false;
    write_json_string(out_, name);
    out_ += ':';
  }
  void text(std::string_view name, std::string_view value) {
    key(name);
    write_json_string(out_, value);
  }
  void text_if(std::string_view name, std::string_view value) {
    if (!value.empty()) text(name, value);
  }
  void texts_if(std::string_view name, const std::vector<std::string>& values) {
    if (values.empty()) return;
    key(name);
    list(values);
  }
  void list(const std::vector<std::string>& values) {
    out_ += '[';
    for (size_t i = 0; i < values.size(); ++i) {
      if (i > 0) out_ += ',';
      write_json_string(out_, values[i]);
    }
    out_ += ']';
  }
  void json_if(std::string_view name, const Json& pieces) {
    if (pieces.empty()) return;
    key(name);
    for (const auto& p : pieces) out_ += *p;
    while (!out_.empty() && out_.back() == '\n') out_.pop_back();
  }

 private:
  std::string& out_;
  bool first_ = true;
};

void write_user(std::string& out, const Caller* who) {
  out += '{';
  Writer w(out);
  if (who) {
    w.text_if("username", who->name);
    w.text_if("uid", who->uid);
    w.texts_if("groups", who->groups);
    if (!who->extra.empty()) {
      w.key("extra");
      out += '{';
      Writer extra(out);
      for (const auto& [name, values] : who->extra) {
        extra.key(name);
        extra.list(values);
      }
      out += '}';
    }
  }
  out += '}';
}

void write_object(std::string& out, const ObjectReference& o) {
  out += '{';
  Writer w(out);
  w.text_if("resource", o.resource);
  w.text_if("namespace", o.ns);
  w.text_if("name", o.name);
  w.text_if("uid", o.uid);
  w.text_if("apiGroup", o.group);
  w.text_if("apiVersion", o.version);
  w.text_if("resourceVersion", o.resource_version);
  w.text_if("subresource", o.subresource);
  out += '}';
}

// What tells of a request's object is told where its object may be.
bool tells_object(std::string_view key) {
  return key.starts_with("patch.webhook.admission.k8s.io/");
}

void write_annotations(Writer& w, std::string& out, const Event& e, bool truncated) {
  std::map<std::string_view, std::string_view> sorted;
  for (const auto& [key, value] : e.annotations) {
    if (e.how.level >= Level::kRequest || !tells_object(key)) sorted.emplace(key, value);
  }
  if (sorted.empty() && !truncated) return;
  if (truncated) sorted["audit.k8s.io/truncated"] = "true";
  w.key("annotations");
  out += '{';
  Writer each(out);
  for (const auto& [key, value] : sorted) each.text(key, value);
  out += '}';
}

size_t size_of(const Json& json) {
  size_t n = 0;
  for (const auto& p : json) n += p->size();
  return n;
}

void drop_managed_fields(Value& object) {
  if (Value* meta = object.find("metadata")) meta->erase("managedFields");
}

// Go's RFC3339Nano, in UTC.
std::string nano_time(WallTime t) {
  std::string out = format_time(t);  // ends in 'Z'
  std::string fraction = std::to_string(1'000'000'000 + t.ns % 1'000'000'000).substr(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  if (!fraction.empty()) out.insert(out.size() - 1, "." + fraction);
  return out;
}

std::string quoted_list(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& s : list) out += (out.empty() ? "" : ",") + quoted(s);
  return out;
}

}  // namespace

std::string event_members(const Event& e, bool whole) {
  std::string out;
  out.reserve(1024 + (whole ? size_of(e.request) + size_of(e.response) : 0));
  Writer w(out);
  w.text("level", level_name(e.how.level));
  w.text("auditID", e.id);
  w.text("stage", stage_name(e.stage));
  w.text("requestURI", e.uri);
  w.text("verb", e.verb);
  w.key("user");
  write_user(out, e.user.get());
  if (e.impersonated) {
    w.key("impersonatedUser");
    write_user(out, e.impersonated.get());
  }
  if (!e.constraint.empty()) {
    w.key("authenticationMetadata");
    out += '{';
    Writer(out).text("impersonationConstraint", e.constraint);
    out += '}';
  }
  w.texts_if("sourceIPs", e.source_ips);
  w.text_if("userAgent", e.user_agent);
  if (e.has_object) {
    w.key("objectRef");
    write_object(out, e.object);
  }
  if (e.code != 0) {
    w.key("responseStatus");
    out += '{';
    out += e.status.empty() ? std::string_view("\"metadata\":{}") : std::string_view(e.status);
    out += ",\"code\":" + std::to_string(e.code) + '}';
  }
  if (whole) {
    w.json_if("requestObject", e.request);
    w.json_if("responseObject", e.response);
  }
  w.text("requestReceivedTimestamp", format_micro_time(e.received));
  w.text("stageTimestamp", format_micro_time(e.at));
  write_annotations(w, out, e, !whole);
  return out;
}

std::string legacy_line(const Event& e) {
  static const Caller kNobody;
  const Caller& user = e.user ? *e.user : kNobody;
  std::string name = user.name.empty() ? "<none>" : user.name;
  std::string groups =
      user.name.empty() || user.groups.empty() ? "<none>" : quoted_list(user.groups);
  std::string as = "<self>", as_groups = "<lookup>";
  if (e.impersonated) {
    as = e.impersonated->name;
    if (!e.impersonated->groups.empty()) as_groups = quoted_list(e.impersonated->groups);
  }
  const std::string ns = e.has_object && !e.object.ns.empty() ? e.object.ns : "<none>";
  const std::string ip = e.source_ips.empty() ? "<unknown>" : e.source_ips[0];
  std::string out = nano_time(e.received) + " AUDIT:";
  auto add = [&out](const char* key, std::string_view value) {
    out.append(" ").append(key).append("=").append(quoted(value));
  };
  add("id", e.id);
  add("stage", stage_name(e.stage));
  add("ip", ip);
  add("method", e.verb);
  add("user", name);
  add("groups", groups);
  add("as", as);
  add("asgroups", as_groups);
  add("user-agent", e.user_agent);
  add("namespace", ns);
  add("uri", e.uri);
  add("response", e.code != 0 ? std::to_string(e.code) : "<deferred>");
  return out;
}

std::string status_members(const Status& s) {
  Document d = status_to_document(s);
  d.root.erase("kind");
  d.root.erase("apiVersion");
  d.root.erase("code");
  std::string out = to_json(d.root);
  return out.size() > 2 ? out.substr(1, out.size() - 2) : "\"metadata\":{}";
}

std::vector<std::string> source_ips(std::string_view forwarded_for, std::string_view real_ip,
                                    std::string_view remote_address) {
  std::vector<std::string> out;
  for (std::string_view one : split_list(forwarded_for))
    if (auto ip = IpAddress::parse(trim(one))) out.push_back(ip->text());
  if (auto ip = IpAddress::parse(real_ip)) {
    if (std::find(out.begin(), out.end(), ip->text()) == out.end()) out.push_back(ip->text());
  }
  std::string_view host = remote_address;
  if (const size_t colon = host.rfind(':'); colon != std::string_view::npos) {
    const bool bare_v6 = host.find(':') != colon && !host.starts_with('[');
    if (!bare_v6) host = host.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  auto ip = IpAddress::parse(host);
  if (ip && (out.empty() || out.back() != ip->text())) out.push_back(ip->text());
  return out;
}

std::string shown_user_agent(std::string_view agent) {
  constexpr size_t kMost = 1024;
  if (agent.size() <= kMost) return std::string(agent);
  return std::string(agent.substr(0, kMost)) + "...TRUNCATED";
}

std::string failed_authentication(std::string_view authorization, bool certificate,
                                  bool access_token) {
  std::string tried;
  auto add = [&tried](const char* how) { tried += (tried.empty() ? "" : ", ") + std::string(how); };
  const std::string scheme = ascii_lower(authorization.substr(0, authorization.find(' ')));
  const bool more = scheme.size() < authorization.size();
  if (more && scheme == "basic") add("basic");
  if (more && scheme == "bearer") add("bearer");
  if (access_token) add("access_token");
  if (certificate) add("x509");
  if (tried.empty()) return "Authentication failed, no credentials provided";
  return "Authentication failed, attempted: " + tried;
}

Json one_piece(std::string text) {
  Json out;
  out.push_back(std::make_shared<const std::string>(std::move(text)));
  return out;
}

std::string without_managed_fields(const Json& json) {
  std::string text;
  for (const auto& p : json) text += *p;
  auto doc = parse_json(text);
  if (!doc.ok()) return text;
  drop_managed_fields(doc->root);
  if (Value* items = doc->root.find("items")) {
    for (Value& item : items->items()) drop_managed_fields(item);
  }
  if (Value* rows = doc->root.find("rows")) {
    for (Value& row : rows->items()) {
      if (Value* object = row.find("object")) drop_managed_fields(*object);
    }
  }
  return to_json(doc->root);
}

}  // namespace keles::audit
