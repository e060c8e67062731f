#include "kubectl/describe.h"

#include <time.h>

#include <algorithm>

#include "base/text_parts.h"
#include "kubectl/print.h"
#include "kubectl/verbs.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

constexpr size_t kMaxAnnotation = 140;
constexpr std::string_view kHidden = "kubectl.kubernetes.io/last-applied-configuration";

struct Page {
  const char *group, *kind;
  void (*write)(const PageContext&, const Value&, Description&);
};
constexpr Page kPages[] = {
    {"", "Pod", describe_pod},
    {"", "Node", describe_node},
    {"", "Service", describe_service},
    {"", "ConfigMap", describe_configmap},
    {"", "Secret", describe_secret},
    {"", "Namespace", describe_namespace},
    {"apps", "Deployment", describe_deployment},
    {"apps", "ReplicaSet", describe_replicaset},
    {"", "ReplicationController", describe_replicaset},
    {"apps", "StatefulSet", describe_statefulset},
    {"apps", "DaemonSet", describe_daemonset},
    {"batch", "Job", describe_job},
    {"batch", "CronJob", describe_cronjob},
};

bool has_events(std::string_view kind) { return kind != "Secret" && kind != "Namespace"; }

// "creationTimestamp" -> "Creation Timestamp", "podIP" -> "Pod IP"
std::string label_for(std::string_view field) {
  bool plain = std::all_of(field.begin(), field.end(), [](char c) {
    return std::isalpha(static_cast<unsigned char>(c)) || c == '-';
  });
  if (!plain) return std::string(field);
  auto upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  std::string out;
  for (size_t i = 0; i < field.size(); ++i) {
    bool start = i > 0 && upper(field[i]) &&
                 (!upper(field[i - 1]) || (i + 1 < field.size() && !upper(field[i + 1])));
    if (start) out += ' ';
    out += i == 0 || start ? static_cast<char>(std::toupper(field[i])) : field[i];
  }
  // Words that are short for something stand in capitals.
  std::string words, word;
  for (char c : out + " ") {
    if (c != ' ') {
      word += c;
      continue;
    }
    std::string capital = word;
    for (char& ch : capital) ch = static_cast<char>(std::toupper(ch));
    bool known = capital == "API" || capital == "URL" || capital == "UID" || capital == "GUID";
    words += (words.empty() ? "" : " ") + (known ? capital : word);
    word.clear();
  }
  return words;
}

void write_fields(Description& d, int level, const Value& v, const std::string& path) {
  static constexpr std::string_view kSkipped[] = {".metadata.managedFields", ".metadata.name",
                                                  ".metadata.namespace", ".metadata.labels",
                                                  ".metadata.annotations"};
  for (const std::string& field : sorted_keys(v)) {
    std::string here = path + "." + field;
    if (std::find(std::begin(kSkipped), std::end(kSkipped), here) != std::end(kSkipped)) continue;
    const Value& value = v[field];
    if (!value.is_map() && !value.is_list()) {
      d.line(level, label_for(field) + ":\t" + go_text(value));
      continue;
    }
    d.line(level, label_for(field) + ":");
    if (value.is_map()) write_fields(d, level + 1, value, here);
    for (const Value& item : value.items()) {
      if (item.is_map()) {
        write_fields(d, level + 1, item, here);
      } else {
        d.line(level + 1, go_text(item));
      }
    }
  }
}

void describe_any(const Value& o, Description& d) {
  const Value& meta = o["metadata"];
  d.line(0, "Name:\t" + str(meta["name"]));
  d.line(0, "Namespace:\t" + str(meta["namespace"]));
  d.labels("Labels", meta["labels"]);
  d.annotations("Annotations", meta["annotations"]);
  write_fields(d, 0, o, "");
}

// --- events
// ---------------------------------------------------------------------------------------

void write_events(const PageContext& c, const Value& o, Description& d) {
  const Value& meta = o["metadata"];
  std::string ns = str(meta["namespace"]);
  std::string kind = str(o["kind"]);
  auto search = [&](const std::string& uid) {
    std::string selector =
        "involvedObject.name=" + str(meta["name"]) + ",involvedObject.uid=" + uid;
    if (!ns.empty()) selector += ",involvedObject.namespace=" + ns;
    if (kind != "Pod") selector += ",involvedObject.kind=" + kind;
    return c.list("events", ns, "", selector);
  };
  std::string mirror = str(meta["annotations"]["kubernetes.io/config.mirror"]);
  std::vector<Document> pages = search(mirror.empty() ? str(meta["uid"]) : mirror);
  if (kind == "Node") {
    for (Document& page : search(str(meta["name"]))) pages.push_back(std::move(page));
  }
  std::vector<const Value*> events;
  for (const Document& page : pages) {
    for (const Value& e : page.root["items"].items()) events.push_back(&e);
  }
  if (events.empty()) {
    d.line(0, "Events:\t<none>");
    return;
  }
  d.flush();
  auto last = [](const Value& e) {
    if (e["series"].is_map()) return e["series"]["lastObservedTime"].as_string();
    std::string_view t = e["lastTimestamp"].as_string();
    return t.empty() ? e["eventTime"].as_string() : t;
  };
  std::stable_sort(events.begin(), events.end(),
                   [&last](const Value* a, const Value* b) { return last(*a) < last(*b); });
  d.line(0, "Events:");
  d.line(1, "Type\tReason\tAge\tFrom\tMessage");
  d.line(1, "----\t------\t----\t----\t-------");
  for (const Value* e : events) {
    std::string source = str((*e)["source"]["component"]);
    if (source.empty()) source = str((*e)["reportingComponent"]);
    std::string message(trim((*e)["message"].as_string()));
    std::string path = str((*e)["involvedObject"]["fieldPath"]);
    if (!path.empty()) message = path + ": " + message;
    d.line(1, str((*e)["type"]) + "\t" + str((*e)["reason"]) + "\t" + event_age(*e) + "\t" +
                  source + "\t" + message);
  }
}

std::string page_of(const PageContext& c, const Found& f, bool events) {
  Description d;
  const Value& o = f.object.root;
  void (*write)(const PageContext&, const Value&, Description&) = nullptr;
  for (const Page& p : kPages) {
    if (f.resource->group == p.group && f.resource->kind == p.kind) write = p.write;
  }
  if (write) {
    write(c, o, d);
  } else {
    describe_any(o, d);
  }
  if (events && (!write || has_events(f.resource->kind))) write_events(c, o, d);
  return d.take();
}

// What is not there by its whole name may be meant by the name's beginning.
Result<std::vector<Found>> by_prefix(Session& session, const Query& q, const Status& not_found) {
  Query list = q;
  list.args = {q.args[0]};
  list.types_alone = true;
  TRY_ASSIGN(all, find_objects(session, list));
  std::vector<Found> out;
  for (Found& f : all) {
    if (f.name.starts_with(q.args[1])) out.push_back(std::move(f));
  }
  if (out.empty()) return not_found;
  return out;
}

}  // namespace

void Description::line(int level, std::string_view text) {
  text_.append(static_cast<size_t>(level) * 2, ' ');
  text_ += escape_terminal(text);
  text_ += '\n';
}

void Description::flush() {
  done_ += align(text_, {0, 2});
  text_.clear();
}

std::string Description::take() {
  flush();
  return std::move(done_);
}

void Description::labels(std::string_view title, const Value& map) {
  std::string head = std::string(title) + ":\t";
  for (const std::string& key : sorted_keys(map)) {
    line(0, head + key + "=" + str(map[key]));
    head = "\t";
  }
  if (map.empty()) line(0, head + "<none>");
}

void Description::annotations(std::string_view title, const Value& map) {
  std::string head = std::string(title) + ":\t";
  bool any = false;
  for (const std::string& key : sorted_keys(map)) {
    if (key == kHidden) continue;
    any = true;
    std::string value = str(map[key]);
    if (value.ends_with('\n')) value.pop_back();
    if (value.size() + key.size() + 2 <= kMaxAnnotation && value.find('\n') == value.npos) {
      line(0, head + key + ": " + value);
    } else {
      line(0, head + key + ":");
      std::string_view rest = value;
      for (;;) {
        size_t end = rest.find('\n');
        std::string one(rest.substr(0, end));
        if (one.size() > kMaxAnnotation - 2) one = one.substr(0, kMaxAnnotation - 2) + "...";
        line(0, "\t  " + one);
        if (end == rest.npos) break;
        rest = rest.substr(end + 1);
      }
    }
    head = "\t";
  }
  if (!any) line(0, head + "<none>");
}

std::vector<Document> PageContext::list(std::string_view type, const std::string& ns,
                                        const std::string& label_selector,
                                        const std::string& field_selector) const {
  Result<const Resource*> resource = mapper.find(type);
  if (!resource.ok()) return {};
  Query q;
  q.label_selector = label_selector;
  q.field_selector = field_selector;
  Target t;
  t.resource = *resource;
  t.ns = ns;
  Result<std::vector<Document>> pages = fetch(session, q, t);
  return pages.ok() ? std::move(*pages) : std::vector<Document>();
}

std::string str(const Value& v) { return v.is_null() ? "" : go_text(v); }
std::string str_or(const Value& v, std::string_view otherwise) {
  std::string s = str(v);
  return s.empty() ? std::string(otherwise) : s;
}

std::string local_time(const Value& time) {
  Result<WallTime> t = parse_time(time.as_string());
  if (!t.ok()) return "Mon, 01 Jan 0001 00:00:00 +0000";
  time_t seconds = t->unix_seconds();
  struct tm local {};
  ::localtime_r(&seconds, &local);
  char buf[64];
  ::strftime(buf, sizeof buf, "%a, %d %b %Y %H:%M:%S %z", &local);
  return buf;
}

std::string age_of(const Value& time) {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return human_age(time.as_string(), {now.tv_sec * 1'000'000'000LL + now.tv_nsec});
}

std::string event_age(const Value& e) {
  std::string first =
      e["eventTime"].is_null() ? age_of(e["firstTimestamp"]) : age_of(e["eventTime"]);
  if (e["series"].is_map()) {
    return age_of(e["series"]["lastObservedTime"]) + " (x" + str(e["series"]["count"]) + " over " +
           first + ")";
  }
  if (e["count"].as_int() > 1) {
    return age_of(e["lastTimestamp"]) + " (x" + str(e["count"]) + " over " + first + ")";
  }
  return first;
}

std::string controller_of(const Value& object) {
  for (const Value& r : object["metadata"]["ownerReferences"].items()) {
    if (r["controller"].as_bool()) return str(r["kind"]) + "/" + str(r["name"]);
  }
  return "";
}

std::string join(const Value& list, std::string_view by) {
  std::string out;
  for (const Value& v : list.items()) {
    if (!out.empty()) out += by;
    out += str(v);
  }
  return out;
}

std::vector<std::string> sorted_keys(const Value& map) {
  std::vector<std::string> keys;
  for (const Member& m : map.members()) keys.emplace_back(m.key());
  std::sort(keys.begin(), keys.end());
  return keys;
}

Status describe(Invocation& in) {
  Query q;
  q.types_alone = true;
  bool show_events = true;
  q.files.add_to(in.flags, "containing the resource to describe");
  in.flags.add("selector", &q.label_selector, "Selector (label query) to filter on", 'l');
  in.flags.add("all-namespaces", &q.all_namespaces,
               "If present, list the requested object(s) across all namespaces.", 'A');
  in.flags.add("show-events", &show_events,
               "If true, display events related to the described "
               "object.");
  in.flags.add("chunk-size", &q.chunk,
               "Return large lists in chunks rather than all at once. 0 to disable.");
  TRY(in.parse());
  if (in.args.empty() && q.files.files.empty()) {
    print_error(
        "You must specify the type of resource to describe. Use \"kubectl api-resources\" "
        "for a complete list of supported resources.\n");
    return failure(
        "Required resource not specified.\nUse \"kubectl explain <resource>\" for a "
        "detailed description of that resource (e.g. kubectl explain pods).\nSee "
        "'kubectl describe -h' for help and examples");
  }
  q.args = in.args;
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  std::vector<Status> errors;
  TRY_ASSIGN(found, find_objects(*session, q, &errors));
  if ((!errors.empty() || found.size() > 1) && !in.flags.given("show-events")) show_events = false;
  bool prefix = false;
  if (errors.size() == 1 && errors[0].is(Reason::kNotFound) && q.args.size() == 2) {
    Result<std::vector<Found>> close = by_prefix(*session, q, errors[0]);
    if (!close.ok()) return close.status();
    found = std::move(*close);
    errors.clear();
    prefix = show_events = true;
  }
  PageContext c{*session, *mapper};
  bool first = true;
  for (const Found& f : found) {
    if (prefix) {
      print(page_of(c, f, show_events) + "\n");
      continue;
    }
    print((first ? "" : "\n\n") + page_of(c, f, show_events));
    first = false;
  }
  if (found.empty() && errors.empty()) {
    print_error(q.all_namespaces ? "No resources found\n"
                                 : "No resources found in " + session->ns() + " namespace.\n");
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
