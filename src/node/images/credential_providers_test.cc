#include "node/images/credential_providers.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/run_task.h"
#include "base/sim_loop.h"
#include "base/sync.h"
#include "base/temporary_directory.h"

namespace keles::node {
namespace {

constexpr const char* kV1 = "credentialprovider.kubelet.k8s.io/v1";

std::string config(const std::string& provider) {
  return "kind: CredentialProviderConfig\napiVersion: kubelet.config.k8s.io/v1\nproviders:\n- " +
         provider + "\n";
}
const std::string kGood =
    "{name: p, matchImages: ['*.example.com'], defaultCacheDuration: 10m, apiVersion: "
    "credentialprovider.kubelet.k8s.io/v1}";

TEST(CredentialProviderConfig, WhatIsRefused) {
  EXPECT_TRUE(parse_credential_providers(config(kGood)).ok());
  auto with = [](std::string what, const std::string& by) {
    std::string out = kGood;
    return config(out.replace(out.find(what), what.size(), by));
  };
  const std::string bad[] = {
      "",
      "kind: Pod",
      with("name: p", "name: a/b"),
      with("name: p", "name: ''"),
      with("10m", "'-1s'"),
      with("10m", "x"),
      with(", defaultCacheDuration: 10m", ""),
      with("['*.example.com']", "[]"),
      with("/v1}", "/v9}"),
      config(kGood + "\n- " + kGood),
      with("/v1}", "/v1, tokenAttributes: {cacheType: Token, requireServiceAccount: true}}"),
      with("/v1}",
           "/v1beta1, tokenAttributes: {serviceAccountTokenAudience: a, cacheType: Token, "
           "requireServiceAccount: true}}"),
      with("/v1}",
           "/v1, tokenAttributes: {serviceAccountTokenAudience: a, cacheType: Token, "
           "requireServiceAccount: false, requiredServiceAccountAnnotationKeys: [k]}}")};
  for (const std::string& text : bad) EXPECT_FALSE(parse_credential_providers(text).ok()) << text;
}

// Programs that answer as they are told, and what they were asked.
struct Programs {
  std::vector<std::string> asked;
  std::string answer;
  RunProvider run() {
    return [this](Context, ProviderCall call) { return reply(this, std::move(call)); };
  }
  static Task<Result<std::string>> reply(Programs* self, ProviderCall call) {
    self->asked.push_back(call.program + " " + call.input);
    if (self->answer.empty()) co_return Status(Reason::kUnknown, "it ended with exit code 1");
    co_return self->answer;
  }
};

std::string answer(const char* scope, const std::string& cache, const char* user) {
  return std::string(R"({"kind":"CredentialProviderResponse","apiVersion":")") + kV1 +
         R"(","cacheKeyType":")" + scope + "\"" +
         (cache.empty() ? "" : ",\"cacheDuration\":\"" + cache + "\"") +
         R"(,"auth":{"*.example.com":{"username":")" + user + R"(","password":"s"}}})";
}

struct Asking {
  SimLoop loop{1};
  Programs programs;
  CredentialProviders providers;
  explicit Asking(const std::string& yaml)
      : providers(*parse_credential_providers(yaml), "/bin/dir", programs.run()) {}
  // The users of the credentials for an image, in order.
  std::string users(const std::string& image, PodAccount who = {}) {
    std::string out;
    bool done = false;
    TaskGroup group(loop);
    group.spawn(look(this, image, who, &out, &done));
    loop.run_until([&] { return done; }, 1min);
    return out;
  }
  static Task<void> look(Asking* self, std::string image, PodAccount who, std::string* out,
                         bool* done) {
    auto got = co_await self->providers.lookup(Context::root(self->loop), image, who);
    for (const RegistryCredential& c : got) *out += c.auth.username + " ";
    *done = true;
  }
};

TEST(CredentialProviders, AnswersHoldForWhatTheyAreSaidToBeFor) {
  struct Row {
    const char *scope, *second;
    size_t calls;  // after an image of a.example.com and `second`
  };
  for (const Row& row :
       {Row{"Image", "a.example.com/x", 1}, Row{"Image", "a.example.com/y", 2},
        Row{"Registry", "a.example.com/y", 1}, Row{"Registry", "b.example.com/y", 2},
        Row{"Global", "b.example.com/y", 1}}) {
    Asking w(config(kGood));
    w.programs.answer = answer(row.scope, "", "u");
    EXPECT_EQ(w.users("a.example.com/x"), "u ");
    EXPECT_EQ(w.users(row.second), "u ");
    EXPECT_EQ(w.programs.asked.size(), row.calls) << row.scope << " " << row.second;
  }
  Asking w(config(kGood));
  w.programs.answer = answer("Image", "", "u");
  EXPECT_EQ(w.users("other.org/x"), "");  // not asked at all
  EXPECT_TRUE(w.programs.asked.empty());
  EXPECT_EQ(w.users("a.example.com/x"), "u ");
  EXPECT_EQ(w.programs.asked[0],
            "/bin/dir/p {\"kind\":\"CredentialProviderRequest\",\"apiVersion\":\"" +
                std::string(kV1) + "\",\"image\":\"a.example.com/x\"}");
  w.loop.advance(11min);
  EXPECT_EQ(w.users("a.example.com/x"), "u ");
  EXPECT_EQ(w.programs.asked.size(), 2U);
}

TEST(CredentialProviders, WhatIsNotKept) {
  Asking w(config(kGood));
  w.programs.answer = answer("Global", "0s", "u");
  w.users("a.example.com/x");
  EXPECT_EQ(w.users("a.example.com/x"), "u ");
  EXPECT_EQ(w.programs.asked.size(), 2U);
  w.programs.answer.clear();  // it fails
  EXPECT_EQ(w.users("a.example.com/x"), "");
  w.programs.answer = "{}";
  EXPECT_EQ(w.users("a.example.com/x"), "");
  w.programs.answer = answer("Image", "", "v");
  EXPECT_EQ(w.users("a.example.com/x"), "v ");
}

Task<Result<std::string>> token_of(std::string text) { co_return text; }
Task<Result<AccountFacts>> facts_of(std::string uid) {
  AccountFacts out;
  out.uid = std::move(uid);
  out.annotations["k"] = "v";
  co_return out;
}

TEST(CredentialProviders, TokensOfTheAccount) {
  const std::string attributes =
      "/v1, tokenAttributes: {serviceAccountTokenAudience: aud, cacheType: ServiceAccount, "
      "requireServiceAccount: true, requiredServiceAccountAnnotationKeys: [k]}}";
  std::string provider = kGood;
  provider.replace(provider.find("/v1}"), 4, attributes);
  Asking w(config(provider));
  w.programs.answer = answer("Global", "", "u");
  EXPECT_EQ(w.users("a.example.com/x"), "");  // a pod without an account
  PodAccount who;
  who.ns = "ns";
  who.name = "sa";
  who.token = [](Context, std::string audience) { return token_of("token for " + audience); };
  who.facts = [](Context) { return facts_of("1"); };
  EXPECT_EQ(w.users("a.example.com/x", who), "u ");
  ASSERT_EQ(w.programs.asked.size(), 1U);
  EXPECT_NE(w.programs.asked[0].find(R"("serviceAccountToken":"token for aud",)"
                                     R"("serviceAccountAnnotations":{"k":"v"}})"),
            std::string::npos)
      << w.programs.asked[0];
  EXPECT_EQ(w.users("a.example.com/y", who), "u ");
  EXPECT_EQ(w.programs.asked.size(), 1U);
  who.name = "other";  // another's answer is not its
  EXPECT_EQ(w.users("a.example.com/y", who), "u ");
  EXPECT_EQ(w.programs.asked.size(), 2U);
  who.facts = [](Context) { return facts_of("2"); };  // nor that of one made anew
  EXPECT_EQ(w.users("a.example.com/y", who), "u ");
  EXPECT_EQ(w.programs.asked.size(), 3U);
}

TEST(CredentialProviders, ProgramsAreRun) {
  const TemporaryDirectory files = *TemporaryDirectory::make("providers");
  const std::string dir = files.path();
  ASSERT_TRUE(make_directories(dir).ok());
  ASSERT_TRUE(write_file(dir + "/p",
                         "#!/bin/sh\nread -r request\n[ \"$1\" = a ] && [ \"$E\" = e ] "
                         "|| exit 3\necho \"$request\"\n",
                         0755)
                  .ok());
  auto loop = make_real_loop();
  for (const char* arg : {"a", "b"}) {
    ProviderCall call;
    call.program = dir + "/p";
    call.input = "{\"image\":\"x\"}\n";
    call.args = {arg};
    call.env = {{"E", "e"}};
    auto got = run_task(*loop, run_provider_program()(Context::root(*loop), call));
    EXPECT_EQ(got.ok(), std::string(arg) == "a");
    EXPECT_EQ(got.value_or("{\"image\":\"x\"}\n"), "{\"image\":\"x\"}\n");
  }
  ASSERT_TRUE(write_file(dir + "/c.yaml", config(kGood)).ok());
  EXPECT_TRUE(read_credential_providers(dir + "/c.yaml", dir).ok());
  EXPECT_TRUE(read_credential_providers(dir, dir).ok());
  EXPECT_FALSE(read_credential_providers(dir + "/c.yaml", dir + "/none").ok());
  ASSERT_TRUE(write_file(dir + "/d.yaml", config(kGood)).ok());
  EXPECT_FALSE(read_credential_providers(dir, dir).ok());  // the same twice
  ASSERT_EQ(unlink((dir + "/p").c_str()), 0);
  EXPECT_FALSE(read_credential_providers(dir + "/c.yaml", dir).ok());
}

}  // namespace
}  // namespace keles::node
