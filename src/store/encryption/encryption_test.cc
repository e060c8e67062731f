// Stored bytes are upstream's; which provider opens and seals; what a configuration may say; the
// same in a store that is opened again.
#include "store/encryption/encryption.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "machinery/codec_json.h"
#include "machinery/codec_protobuf.h"
#include "store/backup.h"
#include "store/encryption/config.h"
#include "store/encryption/test_kms.h"
#include "store/encryption/upstream_values.h"
#include "store/maintenance.h"
#include "store/sealing.h"
#include "store/store.h"

namespace keles::encryption {
namespace {

const std::string kKey = "/registry/secrets/default/fixture";
const std::string kPlain =
    std::string("k8s\0", 4) + "a value of some length, longer than a block or two of any cipher";
const std::string kSecret = "0123456789abcdef0123456789abcdef";

std::string unhex(std::string_view text) {
  std::string out;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    out += static_cast<char>(std::stoi(std::string(text.substr(i, 2)), nullptr, 16));
  }
  return out;
}
std::string upstream_value(std::string_view name) {
  for (const UpstreamValue& v : kUpstreamValues) {
    if (name == v.name) return unhex(v.hex);
  }
  return "";
}
Bytes shared(std::string s) { return std::make_shared<const std::string>(std::move(s)); }

std::string keyed(const std::string& provider, const std::string& name, size_t bytes = 32,
                  char first = '0') {
  std::string secret = kSecret.substr(0, bytes);
  secret[0] = first;
  return "{" + provider + ": {keys: [{name: " + name + ", secret: " + base64_encode(secret) +
         "}]}}";
}
std::string config(const std::vector<std::pair<std::string, std::string>>& rules) {
  std::string out =
      "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n"
      "resources:\n";
  for (const auto& [resources, providers] : rules) {
    out += "- resources: [" + resources + "]\n  providers: [" + providers + "]\n";
  }
  return out;
}

class EncryptionTest : public ::testing::Test {
 protected:
  std::shared_ptr<Encryption> open(const std::string& text) {
    write(text);
    Encryption::Options o;
    o.file = file_;
    auto out = Encryption::from_file(o);
    EXPECT_TRUE(out.ok()) << out.status().message();
    return out.ok() ? *out : nullptr;
  }
  void write(const std::string& text) { EXPECT_TRUE(write_file(file_, text).ok()); }

  TemporaryDirectory dir_ = *TemporaryDirectory::make();
  std::string file_ = dir_.path() + "/encryption.yaml";
};

TEST_F(EncryptionTest, ReadsWhatUpstreamWrote) {
  struct Case {
    const char* name;
    const char* provider;
    size_t bytes;
  };
  const Case cases[] = {{"aescbc128", "aescbc", 16},   {"aescbc192", "aescbc", 24},
                        {"aescbc256", "aescbc", 32},   {"aesgcm128", "aesgcm", 16},
                        {"aesgcm192", "aesgcm", 24},   {"aesgcm256", "aesgcm", 32},
                        {"secretbox", "secretbox", 32}};
  for (const Case& c : cases) {
    auto e = open(config({{"secrets", keyed(c.provider, "key1", c.bytes)}}));
    const std::string stored = upstream_value(c.name);
    auto plain = e->open(kKey, shared(stored));
    ASSERT_TRUE(plain.ok()) << c.name << ": " << plain.status().message();
    EXPECT_EQ(*plain->plain, kPlain) << c.name;
    EXPECT_EQ(plain->mark, e->mark(kKey));
    // Every byte counts, but for CBC, which authenticates nothing.
    if (std::string_view(c.provider) != "aescbc") {
      for (size_t i = 0; i < stored.size(); ++i) {
        std::string damaged = stored;
        damaged[i] = static_cast<char>(damaged[i] ^ 1);
        auto opened = e->open(kKey, shared(damaged));
        EXPECT_TRUE(!opened.ok() || *opened->plain != kPlain) << c.name << " " << i;
      }
    }
    // Where it is bound to its key it does not open under another.
    if (std::string_view(c.provider) == "aesgcm") {
      EXPECT_FALSE(e->open("/registry/secrets/default/other", shared(stored)).ok());
    }
  }
}

TEST_F(EncryptionTest, WritesWhatItReads) {
  for (const char* provider : {"aescbc", "aesgcm", "secretbox"}) {
    auto e = open(config({{"secrets", keyed(provider, "key1")}}));
    for (size_t n : {0, 1, 15, 16, 17, 1000, 100'000}) {
      const std::string plain(n, 'x');
      auto sealed = e->seal(kKey, shared(plain));
      ASSERT_TRUE(sealed.ok());
      EXPECT_TRUE(sealed->bytes->starts_with(std::string("k8s:enc:") + provider + ":v1:key1:"));
      EXPECT_NE(*sealed->bytes, *e->seal(kKey, shared(plain))->bytes);  // another nonce
      auto opened = e->open(kKey, sealed->bytes);
      ASSERT_TRUE(opened.ok()) << provider << n << opened.status().message();
      EXPECT_EQ(*opened->plain, plain);
    }
  }
}

TEST_F(EncryptionTest, EnvelopesAreUpstreams) {
  const std::string socket = dir_.path() + "/kms.sock";
  TestKms plugin(socket);
  auto e = open(config({{"secrets", "{kms: {apiVersion: v2, name: vault, endpoint: 'unix://" +
                                        socket + "', timeout: 2s}}"}}));
  EXPECT_TRUE(e->has_kms());
  EXPECT_TRUE(e->health().ok()) << e->health().message();
  for (const char* name : {"kms-seed", "kms-key"}) {
    auto plain = e->open(kKey, shared(upstream_value(name)));
    ASSERT_TRUE(plain.ok()) << name << ": " << plain.status().message();
    EXPECT_EQ(*plain->plain, kPlain);
    EXPECT_NE(plain->mark, e->mark(kKey));  // another key id: stale
  }
  auto sealed = e->seal(kKey, shared(kPlain));
  ASSERT_TRUE(sealed.ok());
  EXPECT_TRUE(sealed->bytes->starts_with("k8s:enc:kms:v2:vault:"));
  EXPECT_EQ(*e->open(kKey, sealed->bytes)->plain, kPlain);
}

TEST_F(EncryptionTest, TheFirstSealsAnyOpens) {
  const std::string first = keyed("aescbc", "key1"), second = keyed("aesgcm", "key2");
  auto one = open(config({{"secrets", first + ", {identity: {}}"}}));
  const Bytes stored = one->seal(kKey, shared(kPlain))->bytes;
  auto rotated = open(config({{"secrets", second + ", " + first + ", {identity: {}}"}}));
  auto opened = rotated->open(kKey, stored);
  ASSERT_TRUE(opened.ok());
  EXPECT_NE(opened->mark, rotated->mark(kKey));
  EXPECT_TRUE(rotated->seal(kKey, shared(kPlain))->bytes->starts_with("k8s:enc:aesgcm:v1:key2:"));
  // Plain values of before open too, and are stale.
  EXPECT_EQ(rotated->open(kKey, shared(kPlain))->mark, "");
  EXPECT_NE(rotated->mark(kKey), "");
  // Identity first writes plain, and goes on to read what was sealed.
  auto away = open(config({{"secrets", "{identity: {}}, " + first}}));
  EXPECT_EQ(*away->open(kKey, stored)->plain, kPlain);
  EXPECT_EQ(*away->seal(kKey, shared(kPlain))->bytes, kPlain);
  EXPECT_EQ(away->mark(kKey), "");
  // Without its key it is told of by its own.
  auto lost = open(config({{"secrets", second}}));
  EXPECT_EQ(lost->open(kKey, stored).status().message(),
            "Internal error occurred: unable to transform key \"" + kKey +
                "\": no matching prefix found");
  // The same name with another secret: both are tried.
  auto same =
      open(config({{"secrets", keyed("aesgcm", "k", 32, 'a') + ", " + keyed("aesgcm", "k")}}));
  auto old = open(config({{"secrets", keyed("aesgcm", "k")}}));
  auto both = same->open(kKey, old->seal(kKey, shared(kPlain))->bytes);
  ASSERT_TRUE(both.ok());
  EXPECT_NE(both->mark, same->mark(kKey));
}

TEST_F(EncryptionTest, RulesNameResources) {
  auto e = open(config({{"secrets, configmaps, pandas.awesome.bears.example", keyed("aesgcm", "a")},
                        {"'*.apps'", keyed("aesgcm", "b")},
                        {"'*.'", keyed("aesgcm", "c")},
                        {"'*.*'", keyed("aesgcm", "d")}}));
  struct Case {
    const char* key;
    const char* by;
  };
  const Case cases[] = {
      {"/registry/secrets/default/x", "a"},
      {"/registry/configmaps/default/x", "a"},
      {"/registry/awesome.bears.example/pandas/default/x", "a"},
      {"/registry/deployments/default/x", "b"},
      {"/registry/services/specs/default/x", "c"},
      {"/registry/minions/n", "c"},
      {"/registry/roles/default/x", "d"},
      {"/registry/other.example/things/x", "d"},
      {"/registry/apiextensions.k8s.io/customresourcedefinitions/x", "d"},
  };
  for (const Case& c : cases) {
    auto sealed = e->seal(c.key, shared("k8s"));
    ASSERT_TRUE(sealed.ok());
    EXPECT_TRUE(sealed->bytes->starts_with(std::string("k8s:enc:aesgcm:v1:") + c.by + ":"))
        << c.key << " " << *sealed->bytes;
  }
  auto few = open(config({{"secrets", keyed("aesgcm", "a")}}));
  EXPECT_EQ(*few->seal("/registry/pods/default/x", shared("plain"))->bytes, "plain");
}

TEST_F(EncryptionTest, ConfigurationsAreRefusedByName) {
  const std::string good = keyed("aescbc", "a");
  struct Case {
    std::string rules, message;
  };
  auto only = [&](const std::string& resources, const std::string& providers) {
    return config({{resources, providers}});
  };
  const Case cases[] = {
      {config({}) + "- {}\n", "f:4: resources[0].resources: Required value: at least one "},
      {only("secrets", ""), "f:5: resources[0].providers: Required value: at least one "},
      {only("secrets", "{}"), "f:5: resources[0].providers[0]: Invalid value: provider does not "},
      {only("secrets", "{identity: {}, aescbc: {keys: []}}"),
       "f:5: resources[0].providers[0]: Invalid value: more than one provider"},
      {only("secrets", "{aescbc: {keys: []}}"),
       "f:5: resources[0].providers[0].aescbc.keys: Required value: at least one keys"},
      {only("secrets", "{aescbc: {keys: [{name: a, secret: dG9vIHNob3J0}]}}"),
       "f:5: resources[0].providers[0].aescbc.keys[0].secret: Invalid value: \"REDACTED\": secret "
       "is not of the expected length, got 9, expected one of [16 24 32]"},
      {only("secrets", "{secretbox: {keys: [{name: a, secret: '***'}]}}"),
       "f:5: resources[0].providers[0].secretbox.keys[0].secret: Invalid value: \"REDACTED\": "
       "secrets must be base64 encoded"},
      {only("secrets", "{aesgcm: {keys: [{secret: dG9vIHNob3J0}]}}"),
       "f:5: resources[0].providers[0].aesgcm.keys[0].name: Required value: name is a mandatory"},
      {only("Secrets", good),
       "f:4: resources[0].resources[0]: Invalid value: \"Secrets\": resource"},
      {only("'*'", good), "f:4: resources[0].resources[0]: Invalid value: \"*\": use '*.' to"},
      {only("secrets.*", good),
       "f:4: resources[0].resources[0]: Invalid value: \"secrets.*\": enc"},
      {only("events.events.k8s.io", good), "f:4: resources[0].resources[0]: Invalid value: \"eve"},
      {only("secrets, '*.'", good), "f:4: resources[0].resources: Invalid value: [\"secrets\","},
      {only("secrets, secrets", good), "f:4: resources[0].resources: Invalid value: [\"secrets\","},
      {config({{"'*.*'", good}, {"secrets", good}}),
       "f:6: resources[1].resources[0]: Invalid value: \"secrets\": resource \"secrets\" is masked "
       "by earlier rule \"*.*\""},
      {config({{"'*.'", good}, {"secrets", good}}),
       "f:6: resources[1].resources[0]: Invalid value: \"secrets\": resource \"secrets\" is masked "
       "by earlier rule \"*.\""},
      {only("secrets", "{kms: {apiVersion: v2, name: a, endpoint: 'tcp://x'}}"),
       "f:5: resources[0].providers[0].kms.endpoint: Invalid value: \"tcp://x\": unsupported "
       "scheme "
       "\"tcp\" for KMS provider, only unix is supported"},
      {only("secrets", "{kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///x'}}"),
       "f:5: resources[0].providers[0].kms.name: Invalid value: \"a:b\": invalid KMS provider "
       "name"},
      {only("secrets", "{kms: {name: a, endpoint: 'unix:///x'}}"),
       "f:5: resources[0].providers[0].kms.apiVersion: Invalid value: \"v1\": KMSv1 is deprecated"},
      {only("secrets", "{kms: {apiVersion: v2, name: a, endpoint: 'unix:///x', timeout: -1s}}"),
       "f:5: resources[0].providers[0].kms.timeout: Invalid value: \"-1s\": timeout should be a"},
      {only("secrets", "{kms: {apiVersion: v2, name: a, endpoint: 'unix:///x', cachesize: 5}}"),
       "f:5: resources[0].providers[0].kms.cachesize: Invalid value: 5: cachesize is not "
       "supported"},
      {only("secrets", "{rot13: {}}"), "f:5: resources[0].providers[0].rot13: unknown field"},
  };
  for (const Case& c : cases) {
    auto r = parse_config("f", c.rules);
    ASSERT_FALSE(r.ok()) << c.rules;
    EXPECT_TRUE(r.status().message().starts_with(c.message)) << c.rules << "\n"
                                                             << r.status().message();
    EXPECT_EQ(r.status().message().find("dG9v"), std::string::npos);
  }
}

TEST_F(EncryptionTest, AnotherFileIsLoadedAndABadOneIsNot) {
  auto e = open(config({{"secrets", keyed("aescbc", "one")}}));
  const std::string before = e->mark(kKey);
  EXPECT_TRUE(e->reload().ok());
  EXPECT_EQ(e->mark(kKey), before);
  int told = 0;
  e->on_change([&told] { ++told; });
  write(config({{"secrets", keyed("aesgcm", "two") + ", " + keyed("aescbc", "one")}}));
  EXPECT_TRUE(e->reload().ok());
  EXPECT_TRUE(e->mark(kKey).starts_with("k8s:enc:aesgcm:v1:two:"));
  EXPECT_EQ(told, 1);
  write("nonsense: [");
  EXPECT_FALSE(e->reload().ok());
  EXPECT_TRUE(e->mark(kKey).starts_with("k8s:enc:aesgcm:v1:two:"));
  // A service that is not there: nobody could write.
  write(config({{"secrets", "{kms: {apiVersion: v2, name: a, endpoint: 'unix://" + dir_.path() +
                                "/none', timeout: 100ms}}"}}));
  EXPECT_FALSE(e->reload().ok());
  EXPECT_TRUE(e->mark(kKey).starts_with("k8s:enc:aesgcm:v1:two:"));
}

// --- in a store ---

Bytes secret_named(const std::string& name, const std::string& word) {
  const KindDesc* kind = find_kind("", "v1", "Secret");
  auto doc = parse_json(R"({"apiVersion":"v1","kind":"Secret","metadata":{"name":")" + name +
                        R"(","namespace":"default"},"type":")" + word + "\"}");
  return shared(encode_object(*kind, doc->root));
}
std::string key_of(const std::string& name) { return "/registry/secrets/default/" + name; }

Task<Status> put(Context ctx, Store* store, std::string name, std::string word,
                 int64_t revision = 0) {
  StoreWrite w;
  w.key = key_of(name);
  w.kind = find_kind("", "v1", "Secret");
  w.stored = secret_named(name, word);
  if (revision > 0) {
    w.condition = StoreWrite::If::kRevision;
    w.revision = revision;
  }
  auto done = co_await store->write(ctx, std::move(w));
  co_return done.status();
}

class SealedStore : public EncryptionTest {
 protected:
  std::unique_ptr<Store> reopen(std::shared_ptr<Transformer> t) {
    if (store_) {
      EXPECT_TRUE(run_task(*loop_, store_->close(ctx_)).ok());
      store_.reset();
    }
    EmbeddedOptions o;
    o.directory = dir_.path() + "/store";
    auto s = open_sealed_store(o, std::move(t));
    EXPECT_TRUE(s.ok()) << s.status().message();
    return s.ok() ? std::move(*s) : nullptr;
  }
  void close() {
    EXPECT_TRUE(run_task(*loop_, store_->close(ctx_)).ok());
    store_.reset();
  }
  // As it lies on the disk of a store that is closed.
  std::string on_disk(const std::string& name) {
    auto contents = read_store({dir_.path() + "/store", ""});
    EXPECT_TRUE(contents.ok());
    for (const Change& c : contents->records) {
      if (*c.key == key_of(name)) return *c.stored;
    }
    return "";
  }
  std::string word_of(const std::string& name) {
    ObjectPtr o = store_->snapshot()->get(key_of(name));
    return o ? std::string(o->tree()->root["type"].as_string()) : "";
  }

  std::unique_ptr<RealLoop> loop_ = make_real_loop();
  Context ctx_ = Context::root(*loop_);
  std::unique_ptr<Store> store_;
};

TEST_F(SealedStore, KeepsPlainInMemoryAndSealedOnDisk) {
  auto e = open(config({{"secrets", keyed("aescbc", "one")}}));
  store_ = reopen(e);
  ASSERT_TRUE(run_task(*loop_, put(ctx_, store_.get(), "a", "swordfish")).ok());
  EXPECT_EQ(word_of("a"), "swordfish");
  EXPECT_FALSE(is_stale(*store_, key_of("a")));
  close();
  EXPECT_TRUE(on_disk("a").starts_with("k8s:enc:aescbc:v1:one:"));
  EXPECT_EQ(on_disk("a").find("swordfish"), std::string::npos);
  store_ = reopen(e);
  EXPECT_EQ(word_of("a"), "swordfish");
  EXPECT_TRUE(store_->unreadable("/registry/").empty());
  close();
  // Nobody opens it without the configuration; nothing is lost.
  store_ = reopen(nullptr);
  EXPECT_EQ(word_of("a"), "");
  ASSERT_EQ(store_->unreadable("/registry/").size(), 1u);
  EXPECT_NE(store_->unreadable("/registry/")[0].reason.find("encrypted"), std::string::npos);
  close();
}

TEST_F(SealedStore, RotationIsByWritesThatChangeNothing) {
  store_ = reopen(nullptr);
  ASSERT_TRUE(run_task(*loop_, put(ctx_, store_.get(), "a", "plain")).ok());
  auto e = open(config({{"secrets", keyed("aescbc", "one") + ", {identity: {}}"}}));
  store_ = reopen(e);
  EXPECT_EQ(word_of("a"), "plain");
  EXPECT_TRUE(is_stale(*store_, key_of("a")));
  ASSERT_TRUE(run_task(*loop_, put(ctx_, store_.get(), "a", "plain",
                                   store_->snapshot()->get(key_of("a"))->revision()))
                  .ok());
  EXPECT_FALSE(is_stale(*store_, key_of("a")));
  // Another key, without a start.
  write(config({{"secrets", keyed("aesgcm", "two") + ", " + keyed("aescbc", "one")}}));
  ASSERT_TRUE(e->reload().ok());
  EXPECT_TRUE(is_stale(*store_, key_of("a")));
  ASSERT_TRUE(run_task(*loop_, put(ctx_, store_.get(), "a", "plain",
                                   store_->snapshot()->get(key_of("a"))->revision()))
                  .ok());
  EXPECT_FALSE(is_stale(*store_, key_of("a")));
  close();
  EXPECT_TRUE(on_disk("a").starts_with("k8s:enc:aesgcm:v1:two:"));
}

TEST_F(SealedStore, WhatDoesNotOpenIsTriedAgainWhenItMay) {
  auto one = open(config({{"secrets", keyed("aescbc", "one")}}));
  store_ = reopen(one);
  ASSERT_TRUE(run_task(*loop_, put(ctx_, store_.get(), "a", "swordfish")).ok());
  close();
  auto other = open(config({{"secrets", keyed("aescbc", "other")}}));
  store_ = reopen(other);
  EXPECT_EQ(store_->unreadable("/registry/").size(), 1u);
  write(config({{"secrets", keyed("aescbc", "other") + ", " + keyed("aescbc", "one")}}));
  ASSERT_TRUE(other->reload().ok());
  for (int i = 0; i < 1000 && word_of("a").empty(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(word_of("a"), "swordfish");
  EXPECT_TRUE(store_->unreadable("/registry/").empty());
  close();
}

TEST_F(SealedStore, BackupsAreSealed) {
  auto e = open(config({{"secrets", keyed("aesgcm", "one")}}));
  store_ = reopen(e);
  ASSERT_TRUE(run_task(*loop_, put(ctx_, store_.get(), "a", "swordfish")).ok());
  const std::string file = dir_.path() + "/backup";
  ASSERT_TRUE(write_backup_file(file, store_->contents(), sealer_of(*store_)).ok());
  auto text = read_file(file);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(text->find("swordfish"), std::string::npos);
  EXPECT_NE(text->find("k8s:enc:aesgcm:v1:one:"), std::string::npos);
  close();
  // It is looked into with the configuration, and restored without.
  auto contents = read_backup_file(file);
  ASSERT_TRUE(contents.ok());
  StoreReport blind = check_contents(*contents);
  EXPECT_TRUE(blind.problems.empty());
  ASSERT_EQ(blind.remarks.size(), 1u);
  EXPECT_EQ(blind.objects, 0u);
  StoreReport seen = check_contents(*contents, e.get());
  EXPECT_TRUE(seen.problems.empty() && seen.remarks.empty());
  EXPECT_EQ(seen.objects, 1u);
  auto wrong = open(config({{"secrets", keyed("aesgcm", "other")}}));
  EXPECT_EQ(check_contents(*contents, wrong.get()).problems.size(), 1u);
  ASSERT_TRUE(restore_store({dir_.path() + "/restored", ""}, std::move(*contents)).ok());
  auto repaired = repair_store({dir_.path() + "/restored", ""}, true);
  ASSERT_TRUE(repaired.ok());
  EXPECT_TRUE(repaired->dropped.empty());
  EmbeddedOptions o;
  o.directory = dir_.path() + "/restored";
  auto restored = open_sealed_store(o, open(config({{"secrets", keyed("aesgcm", "one")}})));
  ASSERT_TRUE(restored.ok());
  EXPECT_TRUE((*restored)->snapshot()->get(key_of("a")));
  EXPECT_TRUE(run_task(*loop_, (*restored)->close(ctx_)).ok());
}

TEST_F(SealedStore, AServiceThatComesLaterOpensWhatItSealed) {
  const std::string socket = dir_.path() + "/kms.sock";
  const std::string rules =
      config({{"secrets", "{kms: {apiVersion: v2, name: vault, endpoint: 'unix://" + socket +
                              "', timeout: 300ms}}"}});
  {
    TestKms plugin(socket);
    store_ = reopen(open(rules));
    ASSERT_TRUE(run_task(*loop_, put(ctx_, store_.get(), "a", "swordfish")).ok());
    close();
  }
  auto e = open(rules);
  EXPECT_FALSE(e->health().ok());
  store_ = reopen(e);
  EXPECT_EQ(store_->unreadable("/registry/").size(), 1u);
  EXPECT_FALSE(run_task(*loop_, put(ctx_, store_.get(), "b", "x")).ok());
  TestKms plugin(socket);
  for (int i = 0; i < 3000 && word_of("a").empty(); ++i) {
    (void)e->health();  // asks for a look
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(word_of("a"), "swordfish");
  EXPECT_TRUE(run_task(*loop_, put(ctx_, store_.get(), "b", "x")).ok());
  close();
}

}  // namespace
}  // namespace keles::encryption
