#!/usr/bin/env python3
#  deploy/sample-conf.py - writes the sample configuration and the table of settings anew, from what umbp-node --help
#  says: all settings, each with its help and its default. What stands around them stays.
#
#      build/bin/umbp-node --help | deploy/sample-conf.py deploy/umbp-node.conf doc/operations.md
import re
import sys
import textwrap

def settings (text):
    """Sections as (name, [(key, help, allowed, default)]), in their order"""
    sections, section, flag, lines = [], None, None, []

    def done ():
        if flag:
            said = ' '.join (lines)
            allowed = re.match (r'(.*) \[(.*)\]$', lines[-1])
            words = ' '.join (lines[:-1])
            sections[-1][1].append ((flag[len (section) + 1:].replace ('-', '_'),
                                     words, allowed[1], allowed[2]))
            assert said

    for line in text.splitlines ():
        if re.match (r'[a-z_]+$', line):
            done ()
            section, flag = line, None
            sections.append ((section, []))
        elif section and (found := re.match (r'  --([a-z0-9-]+)', line)):
            done ()
            flag, lines = found[1], []
        elif section and line.startswith ('        '):
            lines.append (line.strip ())
    done ()
    return sections

def sample (path, sections):
    head = re.match (r'(#.*\n|\n)*', open (path).read ())[0].rstrip ('\n')
    out = [head]
    for name, rows in sections:
        entries = []
        for key, words, allowed, default in rows:
            entries.append ('\n'.join (
                textwrap.wrap ('%s. Allowed: %s' % (words[0].upper () + words[1:], allowed), 96, initial_indent='    #  ',
                               subsequent_indent='    #  ', break_on_hyphens=False)
                + ['    #%s = %s' % (key, default)]))
        out.append (name + '\n' + '\n\n'.join (entries))
    open (path, 'w').write ('\n\n'.join (out) + '\n')

def table (path, sections):
    rows = []
    for name, settings_of in sections:
        for key, words, allowed, default in settings_of:
            cells = ['`%s/%s`' % (name, key), '`UMBP_%s_%s`' % (name.upper (), key.upper ()),
                     default.strip ('"') or 'nothing', allowed, words]
            rows.append ('| ' + ' | '.join (re.sub (r'([|*<])', r'\\\1', cell) for cell in cells)
                         + ' |\n')
    text = open (path).read ()
    row = r'\| `[a-z]+/[a-z_]+` \| `UMBP_.*\n'
    open (path, 'w').write (re.sub ('(%s)+' % row, lambda found: ''.join (rows), text, count=1))

def main ():
    sections = settings (sys.stdin.read ())
    sample (sys.argv[1], sections)
    table (sys.argv[2], sections)

main ()
