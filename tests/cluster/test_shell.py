"""`rutile txn` at a terminal: earlier lines, completion, keys."""
import fcntl
import os
import pty
import select
import stat
import subprocess
import termios

import harness
from harness import PATIENCE_SECONDS, ClusterTest, run, wait_until

UP, TAB, CTRL_C, CTRL_D = '\x1b[A', '\t', '\x03', '\x04'


class Terminal:
    """A shell of the program at a terminal of its own."""

    def __init__(self, home, at, *flags):
        self.ours, theirs = pty.openpty()
        environment = {**os.environ, 'HOME': home, 'TERM': 'xterm', 'RUTILE_ENDPOINTS': at}
        environment.pop('RUTILE_HISTORY', None)
        self.process = subprocess.Popen([harness.binary, 'txn', *flags], stdin=theirs, stdout=theirs,
                                        stderr=theirs, env=environment, start_new_session=True,
                                        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.theirs = theirs
        self.before = termios.tcgetattr(theirs)
        self.shown = ''

    def read(self):
        while select.select([self.ours], [], [], 0)[0]:
            self.shown += os.read(self.ours, 65536).decode()
        return self.shown

    def expect(self, text):
        """Waits until it shows the text, and forgets what came up to it."""
        wait_until(f'{text!r} on the terminal', lambda: text in self.read())
        before, self.shown = self.shown.split(text, 1)
        return before

    def type(self, text):
        os.write(self.ours, text.encode())

    def enter(self, text=''):
        self.type(text + '\r')

    def end(self):
        code = self.process.wait(timeout=PATIENCE_SECONDS)
        self.read()
        return code

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.ours)
        os.close(self.theirs)


class ShellAtATerminal(ClusterTest):
    def terminal(self, at, *flags):
        terminal = Terminal(self.scratch, at, *flags)
        self.addCleanup(terminal.close)
        terminal.expect('rutile> ')
        return terminal

    @property
    def history(self):
        return self.path('.rutile_history')

    def kept(self):
        with open(self.history, encoding='utf-8') as file:
            return file.read().splitlines()

    def test_lines_are_remembered_from_one_start_to_the_next(self):
        at = self.serving().address
        first = self.terminal(at)
        first.enter('put k grüße')
        first.expect('committed at ')
        first.enter(' put secret s')
        first.expect('committed at ')
        for _ in range(2):
            first.enter('get k')
            first.expect('grüße')
        first.enter('quit')
        self.assertEqual(first.end(), 0)
        # Once each, and not what begins with a space.
        self.assertEqual(self.kept(), ['put k grüße', 'get k', 'quit'])
        self.assertEqual(stat.S_IMODE(os.stat(self.history).st_mode), 0o600)

        second = self.terminal(at)
        second.type(UP + UP + UP)
        second.expect('put k grüße')
        second.enter('!')
        second.expect('committed at ')
        second.type(CTRL_D)
        self.assertEqual(second.end(), 0)
        self.assert_ok(run('txn', at=at, stdin='get k\n'), 'grüße!\n')

    def test_tab_completes_commands(self):
        shell = self.terminal(self.serving().address)
        shell.type('beg' + TAB)
        shell.enter()
        shell.expect('begun at ')
        shell.expect('txn> ')
        # What it can be; then enough for one of them.
        shell.type('r' + TAB)
        shell.expect('rollback  rscan')
        shell.expect('txn> ')
        shell.type('o' + TAB)
        shell.enter()
        shell.expect('rolled back')
        shell.expect('rutile> ')
        shell.type('hel' + TAB)
        shell.enter()
        shell.expect('insert KEY VALUE')
        # A key is no command.
        shell.enter('put ' + 'ge' + TAB + ' v')
        shell.expect('committed at ')
        shell.enter('get ge')
        shell.expect('v\r\n')

    def test_ctrl_c_gives_up_the_line_and_ctrl_d_the_shell(self):
        at = self.serving().address
        shell = self.terminal(at)
        shell.enter('put k v')
        shell.expect('committed at ')
        shell.type('put k wrong' + CTRL_C)
        shell.expect('^C')
        shell.expect('rutile> ')
        shell.enter('get k')
        shell.expect('v\r\n')
        shell.enter('frobnicate')
        shell.expect("unknown command 'frobnicate'")
        shell.type(CTRL_D)
        self.assertEqual(shell.end(), 0)
        self.assertEqual(termios.tcgetattr(shell.theirs), shell.before)
        self.assertNotIn('put k wrong', self.kept())

    def test_the_file_stays_small_and_is_no_condition(self):
        at = self.serving().address
        with open(self.history, 'w', encoding='utf-8') as file:
            file.writelines(f'get {i}\n' for i in range(3000))
        self.terminal(at)
        self.assertEqual(self.kept(), [f'get {i}' for i in range(2000, 3000)])

        os.remove(self.history)
        os.mkdir(self.history)
        shell = Terminal(self.scratch, at)
        self.addCleanup(shell.close)
        shell.expect('--history names another file')
        shell.enter('put k v')
        shell.expect('committed at ')

        other = self.terminal(at, '--history', self.path('other'))
        other.enter('get k')
        other.expect('v\r\n')
        with open(self.path('other'), encoding='utf-8') as file:
            self.assertEqual(file.read(), 'get k\n')

    def test_scripts_leave_no_trace(self):
        at = self.serving().address
        os.environ['HOME'], home = self.scratch, os.environ.get('HOME', '')
        try:
            self.assert_ok(run('txn', at=at, stdin='put k v\nget k\n'))
        finally:
            os.environ['HOME'] = home
        self.assertFalse(os.path.exists(self.history))
