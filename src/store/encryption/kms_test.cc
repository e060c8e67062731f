// A key management service that changes its key, goes and comes back.
#include "store/encryption/kms.h"

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "base/temporary_directory.h"
#include "store/encryption/test_kms.h"

namespace keles::encryption {
namespace {

// What a service answers, changed by the test.
struct Desk {
  std::mutex mutex;
  std::string key_id = "key-1", healthz = "ok";
  TestKms::Answers answers() {
    TestKms::Answers a;
    a.key_id = [this] {
      std::lock_guard lock(mutex);
      return key_id;
    };
    a.healthz = [this] {
      std::lock_guard lock(mutex);
      return healthz;
    };
    return a;
  }
  void set(std::string& what, std::string to) {
    std::lock_guard lock(mutex);
    what = std::move(to);
  }
};

class KmsTest : public ::testing::Test {
 protected:
  KmsOptions options() {
    KmsOptions o;
    o.name = "vault";
    o.socket = dir_.path() + "/kms.sock";
    o.fine_interval = 20ms;
    o.bad_interval = 20ms;
    return o;
  }
  // Until it holds, at most 20 s.
  template <class F>
  static bool comes(F holds) {
    for (int i = 0; i < 2000; ++i) {
      if (holds()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  TemporaryDirectory dir_ = *TemporaryDirectory::make();
  Desk desk_;
};

TEST_F(KmsTest, SealsManyUnderOneSeed) {
  TestKms plugin(options().socket, desk_.answers());
  Kms kms(options());
  EXPECT_TRUE(kms.health().ok());
  EXPECT_EQ(kms.key_id(), "key-1");
  std::string id;
  for (int i = 0; i < 10; ++i) {
    auto sealed = kms.seal("/k", "value");
    ASSERT_TRUE(sealed.ok()) << sealed.status().message();
    auto plain = kms.open("/k", *sealed, &id);
    ASSERT_TRUE(plain.ok()) << plain.status().message();
    EXPECT_EQ(*plain, "value");
    EXPECT_EQ(id, "key-1");
    EXPECT_FALSE(kms.open("/other", *sealed, &id).ok());
  }
  EXPECT_EQ(plugin.encryptions, 1);
  EXPECT_EQ(plugin.decryptions, 0);
}

TEST_F(KmsTest, AnotherServerAsksOnceForASeed) {
  TestKms plugin(options().socket, desk_.answers());
  std::vector<std::string> sealed;
  {
    Kms first(options());
    for (int i = 0; i < 5; ++i) sealed.push_back(*first.seal("/k", "value"));
  }
  Kms second(options());
  std::string id;
  for (const std::string& s : sealed) EXPECT_EQ(*second.open("/k", s, &id), "value");
  EXPECT_EQ(plugin.decryptions, 1);
}

TEST_F(KmsTest, AnotherKeyMakesAnotherSeed) {
  TestKms plugin(options().socket, desk_.answers());
  Kms kms(options());
  auto old = kms.seal("/k", "value");
  desk_.set(desk_.key_id, "key-2");
  EXPECT_TRUE(comes([&] { return kms.key_id() == "key-2"; }));
  std::string id;
  EXPECT_EQ(*kms.open("/k", *old, &id), "value");
  EXPECT_EQ(id, "key-1");
  EXPECT_EQ(*kms.open("/k", *kms.seal("/k", "new"), &id), "new");
  EXPECT_EQ(id, "key-2");
}

TEST_F(KmsTest, AnUnhealthyServiceThatHasItsKeyGoesOnSealing) {
  KmsOptions o = options();
  o.seed_lifetime = 200ms;
  TestKms plugin(o.socket, desk_.answers());
  Kms kms(o);
  auto sealed = kms.seal("/k", "value");
  ASSERT_TRUE(sealed.ok());
  desk_.set(desk_.healthz, "bad luck");
  EXPECT_TRUE(comes([&] { return !kms.health().ok(); }));
  EXPECT_NE(kms.health().message().find("got unexpected healthz status: bad luck"),
            std::string::npos);
  // The key is the same, so what it has goes on being used; without any answer it does not.
  EXPECT_TRUE(kms.seal("/k", "value").ok());
}

TEST_F(KmsTest, ItMayComeLaterAndComeBack) {
  KmsOptions o = options();
  o.timeout = 200ms;
  o.seed_lifetime = 300ms;
  Kms kms(o);
  EXPECT_FALSE(kms.health().ok());
  EXPECT_FALSE(kms.seal("/k", "value").ok());
  std::atomic<int> told{0};
  kms.on_healthy([&told] { ++told; });
  auto plugin = std::make_unique<TestKms>(o.socket, desk_.answers());
  EXPECT_TRUE(comes([&] { return kms.health().ok(); }));
  EXPECT_TRUE(comes([&] { return told == 1; }));
  auto sealed = kms.seal("/k", "value");
  ASSERT_TRUE(sealed.ok());
  plugin.reset();
  EXPECT_TRUE(comes([&] { return !kms.seal("/k", "value").ok(); }));
  std::string id;
  EXPECT_EQ(*kms.open("/k", *sealed, &id), "value");  // what is known opens for ever
  plugin = std::make_unique<TestKms>(o.socket, desk_.answers());
  EXPECT_TRUE(comes([&] { return kms.seal("/k", "value").ok(); }));
  EXPECT_TRUE(comes([&] { return told == 2; }));
}

TEST_F(KmsTest, WhatIsNoEncryptedObjectIsRefused) {
  TestKms plugin(options().socket, desk_.answers());
  Kms kms(options());
  std::string id;
  for (std::string_view data : {std::string_view(""), std::string_view("\x0a\xff"),
                                std::string_view("\x0a\x01x"), std::string_view("nonsense")}) {
    EXPECT_FALSE(kms.open("/k", data, &id).ok());
  }
  EXPECT_EQ(plugin.decryptions, 0);
}

}  // namespace
}  // namespace keles::encryption
