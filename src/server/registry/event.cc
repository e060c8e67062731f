// Events, of both groups: stored as core's, judged by what was asked for. What comes through
// events.k8s.io/v1 is judged strictly (KEP-383).
#include "api/core_v1.h"
#include "base/ascii.h"
#include "base/text_parts.h"
#include "server/registry/cells.h"
#include "server/registry/checks.h"
#include "server/registry/strategy.h"

namespace keles::registry {
namespace {

using api::core_v1::Event;

constexpr size_t kMaxWord = 128, kMaxNote = 1024;

void limited(FieldErrors& e, const FieldPath& p, std::string_view text, size_t most) {
  if (text.size() <= most) return;
  field::invalid(e, p, "", "can have at most " + std::to_string(most) + " characters");
}

void required_and_limited(FieldErrors& e, const FieldPath& p, std::string_view text) {
  if (text.empty()) field::required(e, p);
  limited(e, p, text, kMaxWord);
}

// What every event must say, through whichever version it comes.
void validate_common(FieldErrors& e, const Event& event, bool core) {
  const std::string_view ns = event.metadata().namespace_(),
                         theirs = event.involved_object().namespace_();
  const FieldPath at = FieldPath("involvedObject")["namespace"];
  constexpr const char* kOther = "does not match event.namespace";
  if (event.event_time().empty()) {
    // An object of no namespace is told of in "default".
    const bool fits = theirs.empty() ? ns.empty() || ns == "default" : ns == theirs;
    if (!fits) field::invalid(e, at, theirs, kOther);
  } else {
    if (theirs.empty() && ns != "default" && ns != "kube-system") {
      field::invalid(e, at, theirs, kOther);
    }
    const FieldPath by(core ? "reportingComponent" : "reportingController");
    const std::string_view controller = event.reporting_component();
    if (controller.empty()) field::required(e, by);
    field::invalid_each(e, by, controller, check_qualified_name(controller));
    required_and_limited(e, FieldPath("reportingInstance"), event.reporting_instance());
    required_and_limited(e, FieldPath("action"), event.action());
    required_and_limited(e, FieldPath("reason"), event.reason());
    limited(e, FieldPath("message"), event.message(), kMaxNote);
  }
  field::invalid_each(e, FieldPath("namespace"), ns, check_dns1123_subdomain(ns));
}

void validate_series(FieldErrors& e, const Event& event) {
  if (!event.has_series()) return;
  if (event.series().count() < 2) {
    field::invalid(e, FieldPath("series.count"), "", "should be at least 2");
  }
  if (event.series().last_observed_time().empty()) {
    field::required(e, FieldPath("series.lastObservedTime"));
  }
}

bool asked_of_core(const HookContext& ctx) { return !ctx.served || ctx.served->group.empty(); }

void validate_event(const HookContext& ctx, const Value& now, FieldErrors& e) {
  const Event event(now);
  const bool core = asked_of_core(ctx);
  if (core) e.clear();  // metadata is looked at last there, where all else is well
  validate_common(e, event, core);
  if (core) {
    if (e.empty()) {
      validate_object_meta(e, event.metadata().value(), true, name_is_path_segment);
    }
    return;
  }
  validate_series(e, event);
  if (event.event_time().empty()) field::required(e, FieldPath("eventTime"));
  if (event.type() != "Normal" && event.type() != "Warning") {
    field::invalid(e, FieldPath("type"), "", "has invalid value: " + std::string(event.type()));
  }
  auto unset = [&](const char* name, bool set) {
    if (set) field::invalid(e, FieldPath(name), "", "needs to be unset");
  };
  unset("firstTimestamp", !event.first_timestamp().empty());
  unset("lastTimestamp", !event.last_timestamp().empty());
  unset("count", event.count() != 0);
  unset("source", !event.source().component().empty() || !event.source().host().empty());
}

// A member as it is shown: of a struct with Go's names, of a text that is missing as "".
std::string shown(const Value& v, const TypeDesc* type, const char* missing) {
  if (v.is_null()) return missing;
  return type ? struct_text(*type, v) : value_text(v);
}

void validate_event_update(const HookContext& ctx, const Value& now, const Value& before,
                           FieldErrors& e) {
  const Event event(now);
  const bool core = asked_of_core(ctx);
  validate_common(e, event, core);
  if (core) return;
  validate_object_meta_update(e, now["metadata"], before["metadata"], true);
  if (!now["series"].equals(before["series"])) validate_series(e, event);
  static const TypeDesc* const kReference = &api::core_v1::ObjectReference::descriptor();
  static const TypeDesc* const kSource = &api::core_v1::EventSource::descriptor();
  struct Kept {
    std::string_view name, shown_as;
    const TypeDesc* type;
    const char* missing;
  };
  const std::string no_reference = struct_text(*kReference, Value::null()),
                    no_source = struct_text(*kSource, Value::null());
  const Kept kept[] = {
      {"involvedObject", "involvedObject", kReference, no_reference.c_str()},
      {"reason", "reason", nullptr, "\"\""},
      {"message", "message", nullptr, "\"\""},
      {"source", "source", kSource, no_source.c_str()},
      {"firstTimestamp", "firstTimestamp", nullptr, "null"},
      {"lastTimestamp", "lastTimestamp", nullptr, "null"},
      {"count", "count", nullptr, "0"},
      {"reason", "reason", nullptr, "\"\""},
      {"type", "type", nullptr, "\"\""},
      {"eventTime", "eventTime", nullptr, "null"},
      {"action", "action", nullptr, "\"\""},
      {"related", "related", kReference, "null"},
      {"reportingComponent", "reportingController", nullptr, "\"\""},
      {"reportingInstance", "reportingInstance", nullptr, "\"\""},
  };
  for (const Kept& k : kept) {
    if (now[k.name].equals(before[k.name])) continue;
    invalid_as(e, FieldPath(k.shown_as), shown(now[k.name], k.type, k.missing),
               "field is immutable");
  }
}

std::string event_source(const Value& o) {
  const Value& source = o["source"].is_null() ? o["deprecatedSource"] : o["source"];
  std::string_view component = source["component"].as_string(), host = source["host"].as_string();
  if (component.empty()) {
    component = o["reportingComponent"].as_string();
    if (component.empty()) component = o["reportingController"].as_string();
  }
  if (host.empty()) host = o["reportingInstance"].as_string();
  return host.empty() ? std::string(component) : std::string(component) + ", " + std::string(host);
}

void event_cells(const HookContext& ctx, const Value& o, Cells& out) {
  CellWriter w(ctx, out);
  // The events.k8s.io form says the same with other names.
  auto either = [&](std::string_view a, std::string_view b) -> const Value& {
    return o[a].is_null() ? o[b] : o[a];
  };
  std::string_view first = either("firstTimestamp", "deprecatedFirstTimestamp").as_string(),
                   last = either("lastTimestamp", "deprecatedLastTimestamp").as_string();
  if (first.empty()) first = o["eventTime"].as_string();
  if (last.empty()) last = first;
  int64_t count = either("count", "deprecatedCount").as_int();
  if (const Value& series = o["series"]; !series.is_null()) {
    last = series["lastObservedTime"].as_string();
    count = series["count"].as_int();
  }
  const Value& about = either("involvedObject", "regarding");
  std::string target = ascii_lower(about["kind"].as_string());
  if (!about["name"].as_string().empty()) target += "/" + std::string(about["name"].as_string());
  w.text("Last Seen", w.age(last));
  w.text("Object", target);
  w.text("Source", event_source(o));
  w.text("Message", std::string(trim(either("message", "note").as_string())));
  w.text("First Seen", w.age(first));
  w.number("Count", count == 0 ? 1 : count);
}

// `source` and `reportingComponent` select by whichever field the reporter filled.
std::string event_field(const Value& o, std::string_view path) {
  if (path == "source") {
    std::string_view s = o["source"]["component"].as_string();
    return std::string(s.empty() ? o["reportingComponent"].as_string() : s);
  }
  const Value* v = &o;
  for (std::string_view rest = path; !rest.empty();) {
    size_t dot = rest.find('.');
    v = &(*v)[rest.substr(0, dot)];
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  return std::string(v->as_string());
}

struct Rename {
  std::string_view core, events;
};
// v1 Event and events.k8s.io/v1 Event hold the same under other names.
constexpr Rename kEventFields[] = {
    {"involvedObject", "regarding"},
    {"message", "note"},
    {"source", "deprecatedSource"},
    {"firstTimestamp", "deprecatedFirstTimestamp"},
    {"lastTimestamp", "deprecatedLastTimestamp"},
    {"count", "deprecatedCount"},
    {"reportingComponent", "reportingController"},
};

void convert_event(const KindDesc&, const KindDesc& to, Document& d) {
  const bool to_core = to.group.empty();
  Document out;
  out.root = Value::map();
  for (const Member& m : d.root.members()) {
    std::string_view key = m.key();
    for (const Rename& r : kEventFields) {
      if (key == (to_core ? r.events : r.core)) {
        key = to_core ? r.core : r.events;
        break;
      }
    }
    out.root.set(out.arena, out.arena.copy(key), deep_copy(out.arena, m.value));
  }
  d = std::move(out);
}

}  // namespace

extern const Strategy kEventStrategy{.validate = validate_event,
                                     .validate_update = validate_event_update,
                                     .validates_update_whole = true,
                                     .described = false,
                                     .any_finalizer = true,
                                     .convert = convert_event,
                                     .selectable_field = event_field,
                                     .cells = event_cells};
extern const Strategy kEventsEventStrategy{.convert = convert_event, .cells = event_cells};

}  // namespace keles::registry
