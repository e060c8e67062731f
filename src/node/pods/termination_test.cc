#include "node/pods/termination.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "base/file.h"
#include "base/temporary_directory.h"
#include "node/logs/cri_log.h"
#include "node/pods/labels.h"

namespace keles::node {
namespace {

class Termination : public testing::Test {
 protected:
  Termination() {
    pod_ = base_ + "/pod";
    EXPECT_TRUE(make_directories(pod_).ok());
    EXPECT_TRUE(make_termination_file(pod_, "containers/a/0").ok());
    file_ = pod_ + "/containers/a/0";
    c_.annotations[kTerminationFileAnnotation] = file_;
    c_.annotations[kTerminationPolicyAnnotation] = "File";
    c_.log_path = base_ + "/logs/ns_p_u/a/0.log";
    EXPECT_TRUE(make_directories(base_ + "/logs/ns_p_u/a").ok());
  }
  std::string message() { return termination_message(pod_, c_); }
  void write_log(int lines) {
    std::string text;
    for (int i = 0; i < lines; ++i)
      text += "2026-01-01T00:00:00.000000000Z stdout F line " + std::to_string(i) + "\n";
    ASSERT_TRUE(write_file(c_.log_path, text).ok());
  }
  TemporaryDirectory directory_ = *TemporaryDirectory::make();
  const std::string base_ = directory_.path();
  std::string pod_, file_;
  cri::Container c_;
};

TEST_F(Termination, TheEndOfWhatWasWritten) {
  struct stat st {};
  ASSERT_EQ(stat(file_.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0666u);
  EXPECT_EQ(message(), "");
  ASSERT_TRUE(write_file(file_, "bye").ok());
  EXPECT_EQ(message(), "bye");
  std::string much(5u << 20, 'x');
  ASSERT_TRUE(write_file(file_, much + "end").ok());
  EXPECT_EQ(message().size(), kMaxTerminationMessage);
  EXPECT_TRUE(message().ends_with("xend"));
  EXPECT_TRUE(make_termination_file(pod_, "containers/a/0").ok());  // a second try starts anew
  EXPECT_EQ(message(), "");
}

TEST_F(Termination, TheLogWhenItFailedInSilence) {
  write_log(200);
  c_.exit_code = 1;
  EXPECT_EQ(message(), "");
  c_.annotations[kTerminationPolicyAnnotation] = "FallbackToLogsOnError";
  EXPECT_TRUE(message().starts_with("line 120\n")) << message();
  EXPECT_TRUE(message().ends_with("line 199\n"));
  std::string entry = "2026-01-01T00:00:00.000000000Z stdout F " + std::string(9000, 'y') + "\n";
  ASSERT_TRUE(write_file(c_.log_path, entry).ok());
  EXPECT_EQ(message().size(), kMaxTerminationLogBytes);
  c_.exit_code = 0;
  EXPECT_EQ(message(), "");
}

// A container that can write where the file lies makes links of it and of what leads to it.
TEST_F(Termination, NoLinkIsFollowed) {
  ASSERT_TRUE(make_directories(base_ + "/host").ok());
  ASSERT_TRUE(write_file(base_ + "/host/0", "secret").ok());
  struct Trap {
    const char* name;
    std::function<int()> set;
  };
  const Trap traps[] = {
      {"file", [&] { return symlink((base_ + "/host/0").c_str(), file_.c_str()); }},
      {"fifo", [&] { return mkfifo(file_.c_str(), 0666); }},
      {"directory", [&] {
         rmdir((pod_ + "/containers/a").c_str());
         return symlink((base_ + "/host").c_str(), (pod_ + "/containers/a").c_str());
       }}};
  for (const Trap& t : traps) {
    unlink(file_.c_str());
    ASSERT_EQ(t.set(), 0) << t.name;
    EXPECT_EQ(message(), "") << t.name;
  }
  EXPECT_FALSE(make_termination_file(pod_, "containers/a/0").ok());
  EXPECT_EQ(read_file(base_ + "/host/0").value_or(""), "secret");
  c_.annotations[kTerminationFileAnnotation] = base_ + "/host/0";  // not of this pod
  EXPECT_EQ(message(), "");
}

}  // namespace
}  // namespace keles::node
