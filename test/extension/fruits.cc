#include "fruits.h"

#include "machinery/codec_json.h"
#include "machinery/time.h"

namespace keles::extension {
namespace {

constexpr size_t kMaxEvents = 1000;

Status not_found(const std::string& name) {
  return Status::not_found("fruit.example.com", "fruits", name);
}

Value text(Document& d, std::string_view s) { return Value::string(d.arena.copy(s)); }

Result<Document> read(const std::string& body) {
  TRY_ASSIGN(d, parse_json(body));
  if (d.root["apiVersion"].as_string() != "fruit.example.com/v1" ||
      d.root["kind"].as_string() != "Fruit") {
    return Status::bad_request("want a Fruit of fruit.example.com/v1");
  }
  if (d.root["spec"]["grams"].as_int() < 0) {
    std::vector<StatusCause> causes{
        {"FieldValueInvalid", "Invalid value: must be greater than or equal to 0", "spec.grams"}};
    return Status::invalid("fruit.example.com", "Fruit", d.root["metadata"]["name"].as_string(),
                           std::move(causes));
  }
  return std::move(d);
}

}  // namespace

Result<std::string> Fruits::get(const std::string& ns, const std::string& name) const {
  auto at = objects_.find({ns, name});
  if (at == objects_.end()) return not_found(name);
  return at->second;
}

std::string Fruits::list(const std::string& ns) const {
  std::string items;
  for (const auto& [key, json] : objects_) {
    if (ns.empty() || key.first == ns) items += (items.empty() ? "" : ",") + json;
  }
  return R"({"kind":"FruitList","apiVersion":"fruit.example.com/v1","metadata":{"resourceVersion":")" +
         std::to_string(revision_) + R"("},"items":[)" + items + "]}";
}

std::string Fruits::store(const std::string& ns, const std::string& name, Document d,
                          const char* type) {
  ++revision_;
  Value& metadata = d.root.get_or_add(d.arena, "metadata");
  metadata.set(d.arena, "resourceVersion", text(d, std::to_string(revision_)));
  std::string json = to_json(d.root);
  events_.push_back(
      {revision_, ns, std::string("{\"type\":\"") + type + "\",\"object\":" + json + "}\n"});
  if (events_.size() > kMaxEvents) events_.pop_front();
  if (std::string_view(type) == "DELETED") {
    objects_.erase({ns, name});
  } else {
    objects_[{ns, name}] = json;
  }
  changed_.wake_all();
  return json;
}

Result<std::string> Fruits::create(const std::string& ns, const std::string& body, WallTime now,
                                   Random& random) {
  TRY_ASSIGN(d, read(body));
  std::string name(d.root["metadata"]["name"].as_string());
  if (name.empty()) return Status::bad_request("it has no name");
  if (objects_.contains({ns, name})) {
    return Status::already_exists("fruit.example.com", "fruits", name);
  }
  Value& metadata = d.root.get_or_add(d.arena, "metadata");
  metadata.set(d.arena, "namespace", text(d, ns));
  metadata.set(d.arena, "uid", text(d, random.uuid()));
  metadata.set(d.arena, "creationTimestamp", text(d, format_time(now)));
  return store(ns, name, std::move(d), "ADDED");
}

Result<std::string> Fruits::update(const std::string& ns, const std::string& name,
                                   const std::string& body) {
  auto at = objects_.find({ns, name});
  if (at == objects_.end()) return not_found(name);
  TRY_ASSIGN(d, read(body));
  TRY_ASSIGN(now, parse_json(at->second));
  const std::string_view given = d.root["metadata"]["resourceVersion"].as_string();
  if (!given.empty() && given != now.root["metadata"]["resourceVersion"].as_string()) {
    return Status::conflict("fruit.example.com", "fruits", name,
                            "the object has been modified; please apply your changes to the latest "
                            "version and try again");
  }
  Value& metadata = d.root.get_or_add(d.arena, "metadata");
  for (const char* kept : {"namespace", "uid", "creationTimestamp"}) {
    metadata.set(d.arena, kept, deep_copy(d.arena, now.root["metadata"][kept]));
  }
  return store(ns, name, std::move(d), "MODIFIED");
}

Result<std::string> Fruits::remove(const std::string& ns, const std::string& name) {
  auto at = objects_.find({ns, name});
  if (at == objects_.end()) return not_found(name);
  TRY_ASSIGN(d, parse_json(at->second));
  return store(ns, name, std::move(d), "DELETED");
}

std::string Fruits::remove_all(const std::string& ns) {
  std::string before = list(ns);
  std::vector<std::string> names;
  for (const auto& [key, json] : objects_) {
    if (key.first == ns) names.push_back(key.second);
  }
  for (const std::string& name : names) (void)remove(ns, name);
  return before;
}

std::vector<Fruits::Event> Fruits::since(int64_t revision) const {
  std::vector<Event> out;
  for (const Event& e : events_) {
    if (e.revision > revision) out.push_back(e);
  }
  return out;
}

}  // namespace keles::extension
