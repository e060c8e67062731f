// What is refused, and in which words: the tables in registry/cases (its README has their form).
// Each case is a whole request to the registry, admission left out, over a simulated store.
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "base/run_task.h"
#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "machinery/kind_facts.h"
#include "server/admission/plugins.h"
#include "server/objects/keys.h"
#include "server/objects/meta.h"
#include "server/registry/convert.h"
#include "server/registry/machine.h"
#include "server/registry/registry.h"
#include "store/sim/sim_store.h"

namespace keles::registry {
namespace {

using Lines = std::vector<std::string>;

constexpr const char* kFolder = "src/server/registry/cases";
constexpr const char* kOn = "true";  // what YAML 1.1 makes of the key "on"

Lines files() {
  Lines out;
  for (const auto& f : std::filesystem::directory_iterator(kFolder)) {
    if (f.path().extension() == ".yaml") out.push_back(f.path().stem().string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

Document read(const std::string& name) {
  std::ifstream in(std::string(kFolder) + "/" + name + ".yaml");
  std::stringstream text;
  text << in.rdbuf();
  auto doc = parse_yaml(text.str());
  EXPECT_TRUE(doc.ok()) << name << ": " << doc.status().message();
  return doc.ok() ? std::move(*doc) : Document();
}

// --- a case's changes -------------------------------------------------------------------------

struct Step {
  std::string name;  // a member, or
  int64_t index = -1;
  bool append = false;  // "[+]"
};

// "spec.containers[0].env[+].name", "metadata.labels[a.b/c]".
std::vector<Step> steps(std::string_view path) {
  std::vector<Step> out;
  while (!path.empty()) {
    if (path.front() == '[') {
      const std::string_view inside = path.substr(1, path.find(']') - 1);
      path.remove_prefix(inside.size() + 2);
      int64_t n = -1;
      auto r = std::from_chars(inside.data(), inside.data() + inside.size(), n);
      const bool number = r.ec == std::errc() && r.ptr == inside.data() + inside.size();
      out.push_back(
          {number || inside == "+" ? "" : std::string(inside), number ? n : -1, inside == "+"});
    } else {
      const std::string_view name = path.substr(0, path.find_first_of(".["));
      path.remove_prefix(name.size());
      out.push_back({std::string(name)});
    }
    if (path.starts_with('.')) path.remove_prefix(1);
  }
  return out;
}

// Puts `v` at the path, making what is missing on the way; null removes what is there.
::testing::AssertionResult put(Document& d, std::string_view path, const Value& v) {
  const std::vector<Step> way = steps(path);
  Value* at = &d.root;
  for (size_t i = 0; i < way.size(); ++i) {
    const Step& s = way[i];
    const bool last = i + 1 == way.size();
    if (last && v.is_null()) {
      if (s.index < 0) {
        at->erase(s.name);
      } else {
        at->erase_at(static_cast<size_t>(s.index));
      }
      return ::testing::AssertionSuccess();
    }
    if (s.append) {
      at = &at->append(d.arena, Value());
    } else if (s.index < 0) {
      at = &at->get_or_add(d.arena, d.arena.copy(s.name));
    } else if (static_cast<size_t>(s.index) < at->items().size()) {
      at = &at->items()[static_cast<size_t>(s.index)];
    } else {
      return ::testing::AssertionFailure() << path << " is not there";
    }
  }
  *at = deep_copy(d.arena, v);
  return ::testing::AssertionSuccess();
}

Lines lines(const Value& list) {
  Lines out;
  for (const Value& v : list.items()) out.emplace_back(v.as_string());
  return out;
}

std::string listed(const Lines& all) {
  std::string out;
  for (const std::string& l : all) out += "\n      " + l;
  return out.empty() ? " none" : out;
}

// --- what a cause says ------------------------------------------------------------------------

// The type that goes with a message's first words.
std::string_view type_of(std::string_view message) {
  constexpr std::pair<std::string_view, std::string_view> kTypes[] = {
      {"Required value", "FieldValueRequired"},
      {"Invalid value", "FieldValueInvalid"},
      {"Unsupported value", "FieldValueNotSupported"},
      {"Forbidden", "FieldValueForbidden"},
      {"Duplicate value", "FieldValueDuplicate"},
      {"Too long", "FieldValueTooLong"},
      {"Too many", "FieldValueTooMany"},
      {"Not found", "FieldValueNotFound"},
      {"Internal error", "InternalError"}};
  for (const auto& [words, type] : kTypes) {
    if (message.starts_with(words)) return type;
  }
  return "";
}

std::string line_of(const StatusCause& c) {
  std::string out = c.field + ": " + c.message;
  return c.type == type_of(c.message) ? out : c.type + " " + out;
}

// --- the cases --------------------------------------------------------------------------------

const KindDesc* kind_named(std::string_view text) {
  const size_t space = text.find(' ');
  return space == text.npos ? nullptr : find_kind(text.substr(0, space), text.substr(space + 1));
}

class Table {
 public:
  explicit Table(const std::string& name) : file_(read(name)) {
    admission::Config none;
    for (std::string_view plugin : admission::on_by_default()) none.off.emplace(plugin);
    registry_.set_admission(std::move(none));
    const std::string_view text = file_.root["kind"].as_string();
    kind_ = kind_named(text);
    if (file_.root.find("of")) of_ = kind_named(file_.root["of"]["kind"].as_string());
  }

  void run() {
    ASSERT_NE(kind_, nullptr) << "kind: apiVersion Kind";
    ASSERT_FALSE(file_.root["cases"].empty());
    EXPECT_EQ(answer(Value::map()), "") << "the base";
    std::set<std::string_view> names;
    for (const Value& c : file_.root["cases"].items()) {
      for (const Member& m : c.members()) {
        constexpr std::string_view kKeys[] = {"name",   kOn,       "as",       "before", "set",
                                              "causes", "refused", "warnings", "of"};
        EXPECT_NE(std::find(std::begin(kKeys), std::end(kKeys), m.key()), std::end(kKeys))
            << m.key();
      }
      EXPECT_TRUE(names.insert(c["name"].as_string()).second) << "twice: " << c["name"].as_string();
      const std::string wrong = answer(c);
      EXPECT_EQ(wrong, "") << c["name"].as_string();
    }
  }

 private:
  // "", or what was said instead of what the case expects.
  std::string answer(const Value& c) {
    const std::string_view on = c[kOn].as_string();
    Lines warnings;
    WriteRequest how;
    how.dry_run = true;
    how.warnings = &warnings;
    how.user = c["as"].as_string();
    Status status;
    if (of_) {
      status = send_to_parent(c, how);
    } else if (on.empty() || on == "create") {
      status = create(c, how);
    } else {
      status = update(c, std::string(on == "update" ? "" : on), how);
    }
    Lines causes;
    std::string refused;
    if (status.is(Reason::kInvalid)) {
      for (const StatusCause& cause : status.details().causes) causes.push_back(line_of(cause));
    } else if (!status.ok()) {
      refused = status.message();
    }
    std::string wrong;
    if (causes != lines(c["causes"])) {
      wrong += "\n    said:" + listed(causes) + "\n    expected:" + listed(lines(c["causes"]));
    }
    if (refused != c["refused"].as_string()) {
      wrong +=
          "\n    refused: " + refused + "\n    expected: " + std::string(c["refused"].as_string());
    }
    if (c.find("warnings") && warnings != lines(c["warnings"])) {
      wrong +=
          "\n    warned:" + listed(warnings) + "\n    expected:" + listed(lines(c["warnings"]));
    }
    return wrong;
  }

  Document changed(const Value& from, const Value& changes) {
    Document d;
    d.root = deep_copy(d.arena, from);
    for (const Member& m : changes.members()) EXPECT_TRUE(put(d, m.key(), m.value));
    return d;
  }

  // As a request's body is taken.
  Document body(const Value& from, const Value& changes) {
    Document d = changed(from, changes);
    d.root.set(d.arena, "apiVersion", Value::string(kind_->api_version()));
    d.root.set(d.arena, "kind", Value::string(kind_->kind));
    if (kind_->namespaced && meta(d.root, "namespace").empty()) set_meta(d, "namespace", ns());
    Status s = decode_object(*kind_, d, FieldValidation::kStrict);
    EXPECT_TRUE(s.ok()) << s.message();
    return d;
  }

  Status create(const Value& c, const WriteRequest& how) {
    Document d = body(file_.root["base"], c["set"]);
    Task<Result<ObjectPtr>> t = registry_.create(ctx_, kind_, ns(), std::move(d), how);
    return run_task(*loop_, std::move(t)).status();
  }

  Status update(const Value& c, const std::string& subresource, const WriteRequest& how) {
    ObjectPtr stored = store_before(c["before"]);
    if (!stored) return Status::internal("not stored");
    ObjectPtr shown = present(*kind_, stored);
    Document sent = body(shown->tree()->root, c["set"]);
    const std::string name(stored->name());
    Task<Result<ObjectPtr>> t =
        registry_.update(ctx_, kind_, ns(), name, subresource, std::move(sent), how);
    Status s = run_task(*loop_, std::move(t)).status();
    remove(*kind_, *stored);
    return s;
  }

  void remove(const KindDesc& kind, const Object& stored) {
    StoreWrite gone;
    gone.key = object_key(storage_kind(kind), std::string(stored.namespace_()), stored.name());
    gone.condition = StoreWrite::If::kRevision;
    gone.revision = stored.revision();
    gone.kind = &storage_kind(kind);
    Task<Result<ObjectPtr>> removal = store_->write(ctx_, std::move(gone));
    EXPECT_TRUE(run_task(*loop_, std::move(removal)).ok());
  }

  // A body of another kind than its object's, to the subresource that takes it. The object is
  // there, unless its changes are null.
  Status send_to_parent(const Value& c, const WriteRequest& how) {
    Document d = body(file_.root["base"], c["set"]);
    const Value& parent = file_.root["of"]["base"];
    const std::string name(metadata(parent)["name"].as_string());
    ObjectPtr stored;
    const KindDesc* const kind = std::exchange(kind_, of_);
    const bool absent = c.find("of") && c["of"].is_null();
    if (!absent) stored = store(body(parent, c["of"]));
    kind_ = kind;
    EXPECT_TRUE(absent || stored);
    Status s = Status::internal("no subresource takes a " + std::string(kind->kind));
    if (kind->kind == "Scale") {
      Task<Result<ObjectPtr>> t =
          registry_.update_scale(ctx_, of_, "default", name, std::move(d), how);
      s = run_task(*loop_, std::move(t)).status();
    } else if (kind->kind == "Binding") {
      s = run_task(*loop_, registry_.bind_pod(ctx_, "default", name, std::move(d), how));
    } else if (kind->kind == "Eviction") {
      s = run_task(*loop_, registry_.evict_pod(ctx_, "default", name, std::move(d), how));
    }
    if (stored) remove(*of_, *stored);
    return s;
  }

  // The stored object of an update: as it would have been stored, but that nothing checked it.
  ObjectPtr store_before(const Value& changes) { return store(body(file_.root["base"], changes)); }
  ObjectPtr store(Document d) {
    const KindDesc& kind = storage_kind(*kind_);
    set_defaults(*kind_, d, *loop_);
    if (&kind != kind_) convert(*kind_, kind, d);
    set_defaults(kind, d, *loop_);
    if (kind.namespaced) set_meta(d, "namespace", ns());
    if (meta(d.root, "uid").empty()) set_meta(d, "uid", "6b1d1d8e-0000-4000-8000-000000000000");
    if (meta(d.root, "creationTimestamp").empty()) {
      set_meta(d, "creationTimestamp", time_text(loop_->wall_now()));
    }
    if (kind.facts->generation != GenerationRule::kNone &&
        metadata(d.root)["generation"].as_int() == 0) {
      set_meta(d, "generation", int64_t{1});
    }
    StoreWrite w;
    w.key = object_key(kind, ns(), meta(d.root, "name"));
    w.kind = &kind;
    w.stored = encode_stored(kind, d);
    Task<Result<ObjectPtr>> t = store_->write(ctx_, std::move(w));
    auto made = run_task(*loop_, std::move(t));
    EXPECT_TRUE(made.ok()) << made.status().message();
    return made.ok() ? *made : nullptr;
  }

  std::string ns() const {
    if (!kind_->namespaced) return "";
    const std::string_view own = metadata(file_.root["base"])["namespace"].as_string();
    return std::string(own.empty() ? "default" : own);
  }

  std::unique_ptr<SimLoop> loop_ = std::make_unique<SimLoop>(1);
  Context ctx_ = Context::root(*loop_);
  SimDisk disk_{*loop_};
  std::unique_ptr<Store> store_ = *open_sim_store(disk_);
  Registry registry_{store_.get(), "10.96.0.0/16", "30000-32767"};
  Document file_;
  const KindDesc* kind_ = nullptr;
  const KindDesc* of_ = nullptr;  // the kind of the object whose subresource takes a body of kind_
};

class Cases : public ::testing::TestWithParam<std::string> {};

TEST_P(Cases, Answered) {
  Table table(GetParam());
  table.run();
}

INSTANTIATE_TEST_SUITE_P(Kind, Cases, ::testing::ValuesIn(files()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace keles::registry
