// kms_plugin SOCKET KEY_FILE: a key management service for transcripts
// (store/encryption/test_kms.h), whose key is named by a file that may change while it runs.
#include <csignal>
#include <cstdio>

#include "base/file.h"
#include "store/encryption/test_kms.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: kms_plugin SOCKET KEY_FILE\n");
    return 2;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  sigprocmask(SIG_BLOCK, &ends, nullptr);
  const std::string key_file = argv[2];
  keles::encryption::TestKms::Answers answers;
  answers.key_id = [key_file] {
    auto text = keles::read_file(key_file, 1024);
    std::string id = text.ok() ? *text : "";
    while (!id.empty() && id.back() == '\n') id.pop_back();
    return id;
  };
  keles::encryption::TestKms service(argv[1], answers);
  int which = 0;
  sigwait(&ends, &which);
  return 0;
}
