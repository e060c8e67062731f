#include <algorithm>
#include <cstdio>

#include "base/text_parts.h"
#include "kubectl/describe.h"
#include "kubectl/print.h"
#include "kubectl/verbs.h"
#include "kubectl/watch.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

bool equal_words(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](char x, char y) { return lower(x) == lower(y); });
}

struct EventFlags {
  OutputFlags output;
  std::string for_object;
  std::vector<std::string> types;
  int64_t chunk = 500;
  bool watch = false, all_namespaces = false, no_headers = false;

  void add_to(Flags& flags) {
    output.add_to(flags);
    flags.add("watch", &watch, "After listing the requested events, watch for more events.", 'w');
    flags.add("all-namespaces", &all_namespaces,
              "If present, list the requested object(s) across all namespaces.", 'A');
    flags.add("for", &for_object,
              "Filter events to only those pertaining to the specified resource.");
    flags.add("types", &types, "Output only events of given types.");
    flags.add("no-headers", &no_headers,
              "When using the default output format, don't print headers.");
    flags.add("chunk-size", &chunk,
              "Return large lists in chunks rather than all at once. 0 to disable.");
  }

  bool wanted(const Value& event) const {
    const std::string_view type = event["type"].as_string();
    return types.empty() || std::any_of(types.begin(), types.end(),
                                        [&](const std::string& t) { return equal_words(t, type); });
  }
};

// "pod/web" -> a field selector.
Result<std::string> selector_for(Session& session, const std::string& object) {
  if (object.empty()) return std::string();
  const size_t slash = object.find('/');
  if (slash == object.npos) return failure("--for must be in resource/name form");
  if (object.find('/', slash + 1) != object.npos) {
    return failure("arguments in resource/name form may not have more than one slash");
  }
  TRY_ASSIGN(mapper, session.mapper());
  Result<const Resource*> found = mapper->find(object.substr(0, slash));
  if (!found.ok()) return plain_failure(found.status().message());
  const Resource* resource = *found;
  const std::string name = object.substr(slash + 1);
  if (name.empty()) return std::string();
  return "involvedObject.kind=" + resource->kind +
         ",involvedObject.apiVersion=" + resource->api_version() + ",involvedObject.name=" + name;
}

class EventShow {
 public:
  EventShow(const EventFlags& f, std::optional<ObjectPrinter> printer)
      : f_(f), printer_(std::move(printer)) {}

  // Events of a list, or one by one.
  Status show(const Value& object) {
    if (printer_) {
      TRY_ASSIGN(text, printer_->print(object));
      print(text);
      return Status();
    }
    std::string out;
    if (!f_.no_headers && !headed_) {
      out = std::string(f_.all_namespaces ? "NAMESPACE\t" : "") +
            "LAST SEEN\tTYPE\tREASON\tOBJECT\tMESSAGE\n";
    }
    headed_ = true;
    if (object["items"].is_list()) {
      for (const Value& e : object["items"].items()) out += row(e);
    } else {
      out += row(object);
    }
    print(align(out, kTableColumns, &widths_));
    return Status();
  }

 private:
  std::string row(const Value& e) const {
    const auto cell = [](std::string_view s) {
      std::string shown = escape_terminal(s);
      std::replace(shown.begin(), shown.end(), '\t', ' ');
      return shown;
    };
    const Value& about = e["involvedObject"];
    std::string out;
    if (f_.all_namespaces) out = cell(e["metadata"]["namespace"].as_string()) + "\t";
    return out + event_age(e) + "\t" + cell(e["type"].as_string()) + "\t" +
           cell(e["reason"].as_string()) + "\t" + cell(about["kind"].as_string()) + "/" +
           cell(about["name"].as_string()) + "\t" + cell(trim(e["message"].as_string())) + "\n";
  }

  const EventFlags& f_;
  std::optional<ObjectPrinter> printer_;
  std::vector<size_t> widths_;
  bool headed_ = false;
};

// When it was last seen.
WallTime event_time(const Value& e) {
  for (const Value* v : {&e["series"]["lastObservedTime"], &e["lastTimestamp"], &e["eventTime"]}) {
    if (v->is_null()) continue;
    Result<WallTime> t = parse_time(v->as_string());
    if (t.ok()) return *t;
  }
  return WallTime();
}

Document as_list(const EventFlags& f, const std::vector<Document>& pages) {
  std::vector<const Value*> events;
  for (const Document& page : pages) {
    for (const Value& e : page.root["items"].items()) {
      if (f.wanted(e)) events.push_back(&e);
    }
  }
  std::stable_sort(events.begin(), events.end(),
                   [](const Value* a, const Value* b) { return event_time(*a) < event_time(*b); });
  Document list;
  list.root = Value::map();
  list.root.set(list.arena, "apiVersion", Value::string("v1"));
  list.root.set(list.arena, "kind", Value::string("EventList"));
  list.root.set(list.arena, "metadata", Value::map());
  Value& items = list.root.set(list.arena, "items", Value::list());
  for (const Value* e : events) {
    Value& one = items.append(list.arena, Value::map());
    one.set(list.arena, "apiVersion", Value::string("v1"));
    one.set(list.arena, "kind", Value::string("Event"));
    for (const Member& m : e->members()) one.set(list.arena, m.key(), m.value);
  }
  return list;
}

Status watch_events(Session& session, const EventFlags& f, const Target& target, Query q,
                    EventShow show) {
  Call c("GET", target.resource->path(target.ns, ""));
  c.query = list_parameters(q);
  WatchHandler handler;
  handler.event = [&](std::string_view type, const Value& object) -> Status {
    // Events go after an hour, which is no news.
    if (type == "DELETED" || !f.wanted(object)) return Status();
    return show.show(object);
  };
  handler.idle = [] { std::fflush(stdout); };
  return follow_watch(session, std::move(c), handler);
}

}  // namespace

Status events(Invocation& in) {
  EventFlags f;
  f.add_to(in.flags);
  TRY(in.parse());
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(selector, selector_for(*session, f.for_object));
  TRY_ASSIGN(printer, ObjectPrinter::make(f.output, false));
  for (const std::string& t : f.types) {
    if (!equal_words(t, "Normal") && !equal_words(t, "Warning")) {
      return failure("valid --types are Normal or Warning");
    }
  }
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find("events"));
  Query q;
  q.field_selector = selector;
  q.chunk = f.chunk;
  Target target;
  target.resource = resource;
  target.ns = f.all_namespaces ? "" : session->ns();
  EventShow show(f, std::move(printer));
  if (f.watch) return watch_events(*session, f, target, q, std::move(show));
  TRY_ASSIGN(pages, fetch(*session, q, target));
  Document list = as_list(f, pages);
  if (list.root["items"].empty()) {
    print_error(f.all_namespaces ? "No events found.\n"
                                 : "No events found in " + session->ns() + " namespace.\n");
    return Status();
  }
  return show.show(list.root);
}

}  // namespace keles::kubectl
