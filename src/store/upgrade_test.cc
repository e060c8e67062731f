// What earlier versions wrote is read, all of it: directories of each, which lie in the tree
// (fixtures/, made as its README says), with what was in them.
#include <gtest/gtest.h>
#include <rocksdb/db.h>

#include <cstdio>
#include <cstdlib>

#include "base/encoding.h"
#include "base/file.h"
#include "base/run_task.h"
#include "base/temporary_directory.h"
#include "store/rocks_directory.h"
#include "store/store.h"

namespace keles {
namespace {

constexpr const char* kFixtures = "src/store/fixtures/";

uint64_t fnv(std::string_view text) {
  uint64_t h = 14695981039346656037ULL;
  for (char c : text) h = (h ^ static_cast<uint8_t>(c)) * 1099511628211ULL;
  return h;
}

// Unpacks it into `directory`, which then holds "store".
void unpack(const std::string& fixture, const std::string& directory) {
  auto text = read_file(kFixtures + fixture + ".tar.gz.base64");
  ASSERT_TRUE(text.ok()) << text.status().message();
  std::string packed;
  for (char c : *text)
    if (c != '\n') packed += c;
  auto bytes = base64_decode(packed);
  ASSERT_TRUE(bytes.ok());
  ASSERT_TRUE(write_file(directory + "/f.tar.gz", *bytes).ok());
  const std::string command = "tar -xzf " + directory + "/f.tar.gz -C " + directory;
  ASSERT_EQ(std::system(command.c_str()), 0);  // NOLINT(cert-env33-c)
}

// One line a key: its revisions and what is stored.
std::string listing(const Contents& contents) {
  std::string out = "revision " + std::to_string(contents.revision) + "\n";
  for (const Change& c : contents.records) {
    char line[96];
    std::snprintf(line, sizeof line, " %lld %lld %lld %016llx\n",
                  static_cast<long long>(c.create_revision), static_cast<long long>(c.revision),
                  static_cast<long long>(c.version),
                  static_cast<unsigned long long>(fnv(*c.stored)));
    out += *c.key + line;
  }
  return out;
}

class Upgrade : public testing::TestWithParam<const char*> {
 protected:
  Result<std::unique_ptr<Store>> open() {
    EmbeddedOptions o;
    o.directory = directory_.path() + "/store";
    return open_embedded_store(o);
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make("keles-upgrade");
};

TEST_P(Upgrade, LosesNothing) {
  unpack(GetParam(), directory_.path());
  auto expected = read_file(kFixtures + std::string(GetParam()) + ".txt");
  for (int times = 0; times < 2; ++times) {  // as it was, and as today's version leaves it
    auto store = open();
    ASSERT_TRUE(store.ok()) << store.status().message();
    const std::string found = listing((*store)->contents());
    ASSERT_TRUE(expected.ok()) << "want " << kFixtures << GetParam() << ".txt:\n" << found;
    EXPECT_EQ(found, *expected);
    // Every object can be read, to its last field.
    EXPECT_TRUE((*store)->unreadable("/registry/").empty());
    size_t read = 0;
    (*store)->snapshot()->scan("/registry/", "/registry/",
                               [&](std::string_view key, const ObjectPtr& o) {
                                 EXPECT_TRUE(!o->tree()->root.is_null()) << key;
                                 ++read;
                                 return true;
                               });
    EXPECT_EQ(read, (*store)->contents().records.size());
  }
}

// One from a later version is refused, and left as it is.
TEST_P(Upgrade, IsNoDowngrade) {
  unpack(GetParam(), directory_.path());
  const std::string at = directory_.path() + "/store";
  {
    auto database = open_database(at);
    ASSERT_TRUE(database.ok()) << database.status().message();
    ASSERT_TRUE((*database)->Put(rocksdb::WriteOptions(), rocksdb::Slice("\0format", 7), "9").ok());
  }
  auto store = open();
  ASSERT_FALSE(store.ok());
  EXPECT_NE(store.status().message().find("of format \"9\", which this keles does not read (it "
                                          "reads \""),
            std::string::npos)
      << store.status().message();
  EXPECT_NE(store.status().message().find("later version"), std::string::npos)
      << store.status().message();
}

INSTANTIATE_TEST_SUITE_P(Versions, Upgrade, testing::Values("v0.1"),
                         [](const auto&) { return std::string("v0_1"); });

}  // namespace
}  // namespace keles
