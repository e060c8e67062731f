// A stored object that cannot be read is told of by every way of asking that it concerns, hides
// nothing else, and goes by its name.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/sim_loop.h"
#include "machinery/codec_protobuf.h"
#include "machinery/codec_yaml.h"
#include "machinery/decode.h"
#include "server/objects/keys.h"
#include "server/registry/registry.h"
#include "store/sim/sim_store.h"

namespace keles::registry {
namespace {

using testing::HasSubstr;

// A ConfigMap whose envelope and metadata are whole and whose data is not.
Bytes damaged_config_map(const KindDesc& kind, std::string_view ns, std::string_view name) {
  Document d;
  Value& meta = d.root.get_or_add(d.arena, "metadata");
  meta.set(d.arena, "name", Value::string(name));
  meta.set(d.arena, "namespace", Value::string(ns));
  std::string raw = encode_protobuf(*kind.type, d.root);
  append_bytes_field(raw, 2, std::string("\x0a\x7f", 2));  // an entry that is longer than its field
  return std::make_shared<const std::string>(wrap_protobuf("v1", "ConfigMap", raw));
}

class Unreadable : public testing::Test {
 protected:
  Unreadable() {
    must(run(registry_->create(ctx_, kind("Namespace"), "", body(R"({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ns"}})"),
                               {})));
    must(run(registry_->create(ctx_, kind("ConfigMap"), "ns", body(R"({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "good"}})"),
                               {})));
    StoreWrite w;
    w.kind = kind("ConfigMap");
    w.key = object_key(*w.kind, "ns", "broken-too");
    w.stored = damaged_config_map(*w.kind, "ns", "broken-too");
    w.tree.emplace();  // the store trusts who encoded it
    w.tree->root = Value::map();
    must(run(store_->write(ctx_, std::move(w))));
    reopen();
  }
  void reopen() {
    registry_.reset();
    store_.reset();
    store_ = *open_sim_store(disk_);
    registry_ = std::make_unique<Registry>(store_.get(), "10.96.0.0/16", "30000-32767");
  }
  static const KindDesc* kind(std::string_view name) { return find_kind("v1", name); }
  static Document body(std::string_view text) {
    Document d = *parse_yaml(text);
    EXPECT_TRUE(decode_object(*kind(d.root["kind"].as_string()), d, FieldValidation::kStrict).ok());
    return d;
  }
  template <class T>
  static Task<void> keep(Task<T> t, std::optional<T>* out) {
    T r = co_await std::move(t);
    out->emplace(std::move(r));
  }
  template <class T>
  T run(Task<T> t) {
    std::optional<T> out;
    spawn(loop_, keep(std::move(t), &out));
    EXPECT_TRUE(loop_.run_until([&] { return out.has_value(); }, 60s));
    return std::move(*out);
  }
  template <class T>
  static void must(const Result<T>& r) {
    ASSERT_TRUE(r.ok()) << r.status().to_string();
  }
  Status get(std::string name) {
    return run(registry_->get(ctx_, kind("ConfigMap"), "ns", std::move(name), "")).status();
  }
  Status list(std::string ns, std::string fields, std::string labels = "") {
    ListQuery q;
    q.field_selector = std::move(fields);
    q.label_selector = std::move(labels);
    return run(registry_->list(ctx_, kind("ConfigMap"), std::move(ns), q)).status();
  }
  WatchItem first_of_watch(WatchQuery q) {
    auto watch = run(registry_->watch(ctx_, kind("ConfigMap"), "ns", std::move(q)));
    EXPECT_TRUE(watch.ok()) << watch.status().to_string();
    auto items = run((*watch)->next(ctx_, 1));
    EXPECT_TRUE(items.ok() && items->size() == 1);
    return (*items)[0];
  }
  Result<Deleted> remove(std::string name, bool unread) {
    DeleteRequest request;
    request.ignore_store_read_error = unread;
    return run(registry_->remove(ctx_, kind("ConfigMap"), "ns", std::move(name), request, {}));
  }

  SimLoop loop_{1};
  Context ctx_ = Context::root(loop_);
  SimDisk disk_{loop_};
  std::unique_ptr<Store> store_ = *open_sim_store(disk_);
  std::unique_ptr<Registry> registry_ =
      std::make_unique<Registry>(store_.get(), "10.96.0.0/16", "30000-32767");
};

TEST_F(Unreadable, IsToldOfByGetListAndWatch) {
  const std::string told = "/registry/configmaps/ns/broken-too";
  EXPECT_THAT(get("broken-too").message(), HasSubstr(told));
  EXPECT_TRUE(get("good").ok());
  // An absent name is absent, though the damaged key begins with it or ends in it.
  EXPECT_TRUE(get("broken").is(Reason::kNotFound));
  EXPECT_TRUE(get("too").is(Reason::kNotFound));
  EXPECT_THAT(list("ns", "").message(), HasSubstr(told));
  EXPECT_THAT(list("", "").message(), HasSubstr(told));
  EXPECT_TRUE(list("other", "").ok());
  WatchItem first = first_of_watch({});
  EXPECT_EQ(first.type, WatchItem::Type::kError);
  EXPECT_THAT(first.error.message(), HasSubstr(told));
}

TEST_F(Unreadable, SelectorsHideItOnlyWhenTheyNameAnother) {
  EXPECT_FALSE(list("ns", "", "app=x").ok());
  EXPECT_FALSE(list("ns", "metadata.namespace=ns").ok());
  EXPECT_FALSE(list("ns", "metadata.name!=good").ok());
  EXPECT_FALSE(list("ns", "metadata.name=broken-too").ok());
  EXPECT_TRUE(list("ns", "metadata.name=good").ok());
  WatchQuery q;
  q.name = "good";
  EXPECT_EQ(first_of_watch(q).type, WatchItem::Type::kAdded);
  q.name = "broken-too";
  EXPECT_EQ(first_of_watch(q).type, WatchItem::Type::kError);
}

TEST_F(Unreadable, IsNotWrittenOverAndGoesByName) {
  auto again = run(registry_->create(ctx_, kind("ConfigMap"), "ns", body(R"({
      "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "broken-too"}})"),
                                     {}));
  EXPECT_THAT(again.status().message(), HasSubstr("cannot be read"));
  EXPECT_FALSE(remove("broken-too", false).ok());
  EXPECT_FALSE(get("broken-too").is(Reason::kNotFound));
  must(remove("broken-too", true));
  EXPECT_TRUE(get("broken-too").is(Reason::kNotFound));
  EXPECT_TRUE(list("ns", "").ok());
  reopen();
  EXPECT_TRUE(list("ns", "").ok());
}

}  // namespace
}  // namespace keles::registry
