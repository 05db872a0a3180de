#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "client/client.h"
#include "cmd/client_session.h"
#include "cmd/commands.h"
#include "cmd/line_editor.h"
#include "cmd/shell_history.h"
#include "cmd/text.h"

namespace rutile::cmd {
namespace {

using client::Await;
using client::Transaction;
using client::TxnCode;
using client::TxnError;
using client::TxnResult;
using Pairs = std::vector<Transaction::Pair>;

constexpr const char* kHelp =
    "begin [pessimistic]   a transaction; what comes until commit or rollback is in it\n"
    "get KEY               its value\n"
    "put KEY VALUE         the value is the rest of the line\n"
    "insert KEY VALUE      the same; the commit fails if the key exists\n"
    "delete KEY\n"
    "lock KEY              the commit fails if somebody else writes it meanwhile; in a "
    "pessimistic\n"
    "                      transaction nobody can: waits for the key, and shows its newest value\n"
    "scan [START [END]]    pairs in order, END not included\n"
    "rscan [START [END]]   the same pairs from the last one down\n"
    "commit, rollback\n"
    "quit                  or the end of the input; what is not committed is not written\n"
    "Outside of a transaction a command is one of its own.\n";

const std::vector<std::string>& Commands() {
  static const std::vector<std::string> words = {"begin",    "commit", "delete", "exit", "get",
                                                 "help",     "insert", "lock",   "put",  "quit",
                                                 "rollback", "rscan",  "scan"};
  return words;
}

int ExitCodeOf(const TxnError& error) {
  switch (error.code) {
    case TxnCode::kUnavailable: return kExitUnreachable;
    case TxnCode::kRefused: return kExitUsage;
    default: return kExitFailed;
  }
}

// Carries out lines. Each gives its exit code.
class Shell {
 public:
  Shell(client::TxnClient& client, TextFormat format, std::size_t limit)
      : format_(format), limit_(limit), client_(client) {}
  Shell(const Shell&) = delete;
  Shell& operator=(const Shell&) = delete;

  int Run(const std::string& line) {
    std::istringstream words(line);
    std::string command, key, rest;
    words >> command >> key;
    std::getline(words >> std::ws, rest);
    if (command.empty()) return kExitOk;
    if (command == "help") return Say(kHelp);
    if (command == "begin") return Begin(key, rest);
    if (command == "commit") return transaction_ ? Commit() : Refuse("there is no transaction");
    if (command == "rollback") return Rollback();
    return InTransaction(command, key, rest);
  }
  bool is_in_transaction() const { return transaction_ != nullptr; }

 private:
  static int Say(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
    return kExitOk;
  }
  static int Refuse(const std::string& why) {
    return Fail(Status(Code::kInvalidArgument, why + "; help lists the commands"));
  }
  static int Report(const TxnError& error) {
    std::fflush(stdout);
    std::fprintf(stderr, "error: %s\n", client::ToString(error).c_str());
    return ExitCodeOf(error);
  }

  std::optional<TxnError> Start(const client::TransactionOptions& options) {
    auto begun = Await<TxnResult<std::shared_ptr<Transaction>>>(
        [&](auto done) { client_.Begin(options, std::move(done)); });
    if (auto* error = std::get_if<TxnError>(&begun)) return std::move(*error);
    transaction_ = std::get<std::shared_ptr<Transaction>>(std::move(begun));
    return std::nullopt;
  }
  int Begin(const std::string& kind, const std::string& rest) {
    if (transaction_) return Refuse("there is a transaction already");
    const bool is_pessimistic = kind == "pessimistic";
    if ((!kind.empty() && !is_pessimistic) || !rest.empty()) {
      return Refuse("begin takes nothing but 'pessimistic'");
    }
    if (const auto error = Start({.is_pessimistic = is_pessimistic})) return Report(*error);
    return Say("begun at " + ToString(transaction_->start()) + "\n");
  }
  int Commit() {
    const auto transaction = std::exchange(transaction_, nullptr);
    const auto committed = Await(*transaction, &Transaction::Commit);
    if (const auto* error = std::get_if<TxnError>(&committed)) return Report(*error);
    return Say("committed at " + ToString(std::get<client::Timestamp>(committed)) + "\n");
  }
  int Rollback() {
    if (!transaction_) return Refuse("there is no transaction");
    std::exchange(transaction_, nullptr)->Rollback();
    return Say("rolled back\n");
  }

  int InTransaction(const std::string& command, const std::string& key, const std::string& rest) {
    const bool scans = command == "scan" || command == "rscan";
    const bool reads = command == "get" || scans;
    const bool writes =
        command == "put" || command == "insert" || command == "delete" || command == "lock";
    if (!reads && !writes) return Refuse("unknown command '" + command + "'");
    if (key.empty() && !scans) return Refuse(command + " needs a key");
    const bool has_value = command == "put" || command == "insert";
    if (has_value == rest.empty() && !scans) {
      return Refuse(command + (has_value ? " needs a value" : " takes nothing but a key"));
    }
    const Result<std::string> first = ParseBytes(format_, key);
    if (!first.ok()) return Fail(first.status());
    const Result<std::string> second = ParseBytes(format_, rest);
    if (!second.ok()) return Fail(second.status());

    const bool is_own = !transaction_;
    if (is_own) {
      if (const auto error = Start({})) return Report(*error);
    }
    const int code = Do(command, first.value(), second.value());
    if (!is_own) return code;
    if (code == kExitOk && writes) return Commit();
    transaction_ = nullptr;
    return code;
  }

  int Do(const std::string& command, const std::string& key, const std::string& value) {
    if (command == "get") return Get(key);
    if (command == "scan") return Scan(key, value, /*is_reverse=*/false);
    if (command == "rscan") return Scan(key, value, /*is_reverse=*/true);
    if (command == "lock" && transaction_->is_pessimistic()) return Lock(key);
    if (command == "put") transaction_->Put(key, value);
    if (command == "insert") transaction_->Insert(key, value);
    if (command == "delete") transaction_->Delete(key);
    if (command == "lock") transaction_->LockKeys({key});
    return kExitOk;
  }
  int Get(const std::string& key) {
    const auto found = Await(*transaction_, &Transaction::Get, key);
    if (const auto* error = std::get_if<TxnError>(&found)) return Report(*error);
    const auto& value = std::get<std::optional<std::string>>(found);
    if (!value) return Fail(Status(Code::kNotFound, "key not found: " + FormatBytes(format_, key)));
    return Say(FormatBytes(format_, *value) + "\n");
  }
  int Lock(const std::string& key) {
    const auto locked = Await(*transaction_, &Transaction::Lock, std::vector<std::string>{key},
                              client::LockOptions{});
    if (const auto* error = std::get_if<TxnError>(&locked)) return Report(*error);
    const auto& pairs = std::get<Transaction::Pairs>(locked);
    if (pairs.empty()) return Say("locked\n");
    return Say("locked\t" + FormatBytes(format_, pairs.begin()->second) + "\n");
  }
  int Scan(const std::string& start, const std::string& end, bool is_reverse) {
    const auto scan = is_reverse ? &Transaction::ReverseScan : &Transaction::Scan;
    const auto found = Await(*transaction_, scan, start, end, limit_);
    if (const auto* error = std::get_if<TxnError>(&found)) return Report(*error);
    for (const auto& [key, value] : std::get<Pairs>(found)) {
      Say(FormatBytes(format_, key) + "\t" + FormatBytes(format_, value) + "\n");
    }
    return kExitOk;
  }

  const TextFormat format_;
  const std::size_t limit_;
  client::TxnClient& client_;
  std::shared_ptr<Transaction> transaction_;
};

bool IsEnd(const std::string& line) { return line == "quit" || line == "exit"; }

const char* PromptOf(const Shell& shell) {
  return shell.is_in_transaction() ? "txn> " : "rutile> ";
}

// Carries out the lines of standard input, to the end. People go on after a mistake; a script ends
// with it.
int RunLines(Shell& shell) {
  const bool is_terminal = ::isatty(STDIN_FILENO) != 0;
  for (std::string line;;) {
    if (is_terminal) {
      std::fputs(PromptOf(shell), stdout);
      std::fflush(stdout);
    }
    if (!std::getline(std::cin, line) || IsEnd(line)) return kExitOk;
    const int code = shell.Run(line);
    if (code != kExitOk && !is_terminal) return code;
  }
}

// Carries out what is typed at a terminal.
int RunInteractive(Shell& shell, const std::string& history_file) {
  ShellHistory history(history_file);
  // A shell without one is still a shell.
  const auto complain = [](const Status& status) {
    std::fprintf(stderr, "warning: %s\n", std::string(status.message()).c_str());
  };
  const Result<std::vector<std::string>> earlier = history.Load();
  bool is_kept = earlier.ok();
  if (!is_kept) complain(earlier.status());
  LineEditor editor(Commands(), is_kept ? earlier.value() : std::vector<std::string>());
  while (const auto line = editor.Read(PromptOf(shell))) {
    // A completed word has a space behind it.
    const std::string typed = line->substr(0, line->find_last_not_of(' ') + 1);
    if (history.IsWanted(typed)) {
      editor.Remember(typed);
      if (Status status = is_kept ? history.Add(typed) : Status(); !status.ok()) {
        complain(status);
        is_kept = false;
      }
    }
    if (IsEnd(typed)) break;
    shell.Run(*line);
  }
  return kExitOk;
}

int RunShell(Shell& shell, const std::string& history_file) {
  const bool has_user = ::isatty(STDIN_FILENO) != 0 && ::isatty(STDOUT_FILENO) != 0;
  return has_user ? RunInteractive(shell, history_file) : RunLines(shell);
}

struct ShellFlags {
  ClientFlags client = {};
  std::string format = "text";
  std::size_t limit = 100;
  std::string history = ShellHistory::DefaultPath();
};

}  // namespace

void AddTxn(CLI::App& app, int* exit_code) {
  auto flags = std::make_shared<ShellFlags>();
  CLI::App* command = app.add_subcommand(
      "txn", "Transactions, by commands that are typed or on standard input; one is help");
  flags->client.AddTo(*command);
  flags->client.AddKeyspaceTo(*command);
  command->add_option("--format", flags->format, "Of keys and values: text, hex or escaped")
      ->capture_default_str();
  command->add_option("--limit", flags->limit, "Most pairs that a scan lists")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--history", flags->history,
                   "File of the lines that were typed; /dev/null keeps none")
      ->envname("RUTILE_HISTORY")
      ->capture_default_str();
  command->callback([flags, exit_code] {
    const Result<TextFormat> format = ParseTextFormat(flags->format);
    if (!format.ok()) {
      *exit_code = Fail(format.status());
      return;
    }
    client::ClientOptions options = flags->client.ToOptions();
    // Who has been told that it is committed finds no locks of it.
    options.txn.await_all_keys = true;
    const auto client = OpenClient(flags->client, std::move(options));
    if (!client.ok()) {
      *exit_code = Fail(client.status());
      return;
    }
    Shell shell(client.value()->txn(), format.value(), flags->limit);
    *exit_code = RunShell(shell, flags->history);
  });
}

}  // namespace rutile::cmd
