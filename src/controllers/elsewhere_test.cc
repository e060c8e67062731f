// A namespace's content that an extension API server holds: what is asked of it, what is told.
#include "controllers/elsewhere.h"

#include <gtest/gtest.h>

#include "base/run_task.h"
#include "machinery/codec_json.h"

namespace keles::controllers {
namespace {

constexpr const char* kDiscovery =
    R"({"items":[{"metadata":{"name":"fruit.example.com"},"versions":[
    {"version":"v2","freshness":"Current","resources":[
      {"resource":"fruits","scope":"Namespaced","verbs":["list","deletecollection"]},
      {"resource":"trees","scope":"Cluster","verbs":["list","delete"]},
      {"resource":"looks","scope":"Namespaced","verbs":["get"]}]},
    {"version":"v1","freshness":"Current","resources":[
      {"resource":"fruits","scope":"Namespaced","verbs":["list","delete"]},
      {"resource":"seeds","scope":"Namespaced","verbs":["list","delete"]}]}]},
    {"metadata":{"name":"gone.example.com"},"versions":[{"version":"v1","freshness":"Stale","resources":[
      {"resource":"things","scope":"Namespaced","verbs":["list","delete"]}]}]}]})";

// Answers from a table; what was asked is remembered.
struct Paths final : PathsClient {
  std::map<std::string, std::vector<net::Response>> answers;  // "METHOD path"; the last one stays
  std::vector<std::string> asked;

  void on(const std::string& what, int status, std::string body = "{}") {
    net::Response r;
    r.status = status;
    r.body = std::move(body);
    answers[what].push_back(std::move(r));
  }
  Task<Result<net::Response>> ask(Context, std::string method, std::string path,
                                  std::string) override {
    asked.push_back(method + " " + path);
    auto at = answers.find(asked.back());
    if (at == answers.end()) co_return Status::unavailable("nobody there");
    net::Response out = at->second.front();
    if (at->second.size() > 1) at->second.erase(at->second.begin());
    co_return out;
  }
};

std::string items(std::initializer_list<const char*> objects) {
  std::string out = R"({"items":[)";
  for (const char* o : objects) out += (out.back() == '[' ? "" : ",") + std::string(o);
  return out + "]}";
}

constexpr const char* kFruits = "/apis/fruit.example.com/v2/namespaces/shop/fruits";
constexpr const char* kSeeds = "/apis/fruit.example.com/v1/namespaces/shop/seeds";

NamespaceRemains empty(Paths& paths, Status* status = nullptr) {
  auto loop = make_real_loop();
  NamespaceRemains remains;
  Status s = run_task(*loop, empty_elsewhere(Context::root(*loop), &paths, "shop", &remains));
  if (status) *status = s;
  return remains;
}

TEST(Elsewhere, OfEachResourceTheFirstVersionThatCanBeEmptied) {
  Document d = *parse_json(kDiscovery);
  Elsewhere e = read_elsewhere(d.root);
  std::string found;
  for (const auto& r : e.resources) {
    found += r.version + "/" + r.resource + (r.collection ? "* " : " ");
  }
  EXPECT_EQ(found, "v2/fruits* v1/seeds v1/things ");
  EXPECT_EQ(e.stale, std::vector<std::string>{"gone.example.com/v1"});
  EXPECT_TRUE(read_elsewhere(Value()).resources.empty());
}

TEST(Elsewhere, EverythingIsDeletedAndWhatStaysIsTold) {
  Paths paths;
  paths.on("GET /apis", 200, kDiscovery);
  paths.on(std::string("GET ") + kFruits, 200, items({R"({"metadata":{"name":"a"}})"}));
  paths.on(std::string("GET ") + kFruits, 200, items({}));
  paths.on(std::string("DELETE ") + kFruits, 200);
  paths.on(std::string("GET ") + kSeeds, 200,
           items({R"({"metadata":{"name":"x/y","finalizers":["example.com/hold"]}})"}));
  paths.on(std::string("DELETE ") + kSeeds + "/x%2Fy", 200);
  NamespaceRemains r = empty(paths);
  EXPECT_EQ(r.resources, (std::map<std::string, int>{{"seeds.fruit.example.com", 1}}));
  EXPECT_EQ(r.finalizers, (std::map<std::string, int>{{"example.com/hold", 1}}));
  EXPECT_TRUE(r.errors.empty());
  // Whose server does not say what it has is not asked, and the namespace waits for it.
  EXPECT_EQ(r.undiscovered, std::vector<std::string>{"gone.example.com/v1"});
  for (const std::string& a : paths.asked) EXPECT_EQ(a.find("gone."), std::string::npos);
}

TEST(Elsewhere, AFailureIsToldAndStopsNobody) {
  Paths paths;
  paths.on("GET /apis", 200, kDiscovery);
  paths.on(std::string("GET ") + kFruits, 500);
  paths.on(std::string("GET ") + kSeeds, 404);
  NamespaceRemains r = empty(paths);
  ASSERT_EQ(r.errors.size(), 1u);
  EXPECT_EQ(r.errors[0], std::string(kFruits) + ": status code 500");
  EXPECT_EQ(paths.asked.back(), std::string("GET ") + kSeeds);
  Status s;
  Paths nobody;
  empty(nobody, &s);
  EXPECT_FALSE(s.ok());
}

}  // namespace
}  // namespace keles::controllers
