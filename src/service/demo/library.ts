/** LocalLibrary's BookInstance.status: maintenance, on loan, available, reserved. */
export type CopyStatus = 'm' | 'o' | 'a' | 'r'

export interface SampleAuthor {
  readonly first_name: string
  /** `SampleBook.author` refers to it. */
  readonly last_name: string
  /** ISO dates; null if unknown. */
  readonly date_of_birth: string | null
  readonly date_of_death: string | null
}

export interface SampleBook {
  readonly title: string
  readonly author: string
  readonly summary: string
  readonly isbn: string
  readonly language: string
  readonly genres: readonly string[]
  readonly imprint: string
  readonly copies: readonly CopyStatus[]
}

/** Authors who died before 1940: their works are in the public domain. */
export const AUTHORS: readonly SampleAuthor[] = [
  { first_name: 'Jane', last_name: 'Austen', date_of_birth: '1775-12-16', date_of_death: '1817-07-18' },
  { first_name: 'Mary', last_name: 'Shelley', date_of_birth: '1797-08-30', date_of_death: '1851-02-01' },
  { first_name: 'Herman', last_name: 'Melville', date_of_birth: '1819-08-01', date_of_death: '1891-09-28' },
  { first_name: 'Charlotte', last_name: 'Brontë', date_of_birth: '1816-04-21', date_of_death: '1855-03-31' },
  { first_name: 'Charles', last_name: 'Dickens', date_of_birth: '1812-02-07', date_of_death: '1870-06-09' },
  { first_name: 'George', last_name: 'Eliot', date_of_birth: '1819-11-22', date_of_death: '1880-12-22' },
  { first_name: 'Lewis', last_name: 'Carroll', date_of_birth: '1832-01-27', date_of_death: '1898-01-14' },
  { first_name: 'Bram', last_name: 'Stoker', date_of_birth: '1847-11-08', date_of_death: '1912-04-20' },
  { first_name: 'Oscar', last_name: 'Wilde', date_of_birth: '1854-10-16', date_of_death: '1900-11-30' },
  { first_name: 'Edith', last_name: 'Wharton', date_of_birth: '1862-01-24', date_of_death: '1937-08-11' },
  { first_name: 'Victor', last_name: 'Hugo', date_of_birth: '1802-02-26', date_of_death: '1885-05-22' },
  { first_name: 'Gustave', last_name: 'Flaubert', date_of_birth: '1821-12-12', date_of_death: '1880-05-08' },
  { first_name: 'Émile', last_name: 'Zola', date_of_birth: '1840-04-02', date_of_death: '1902-09-29' },
  {
    first_name: 'Johann Wolfgang von',
    last_name: 'Goethe',
    date_of_birth: '1749-08-28',
    date_of_death: '1832-03-22',
  },
  { first_name: 'Franz', last_name: 'Kafka', date_of_birth: '1883-07-03', date_of_death: '1924-06-03' },
  {
    first_name: 'Miguel de',
    last_name: 'Cervantes Saavedra',
    date_of_birth: null,
    date_of_death: '1616-04-22',
  },
  { first_name: 'Dante', last_name: 'Alighieri', date_of_birth: null, date_of_death: '1321-09-14' },
  {
    first_name: 'Fyodor',
    last_name: 'Dostoyevsky',
    date_of_birth: '1821-11-11',
    date_of_death: '1881-02-09',
  },
  { first_name: 'Leo', last_name: 'Tolstoy', date_of_birth: '1828-09-09', date_of_death: '1910-11-20' },
  { first_name: 'Karel', last_name: 'Čapek', date_of_birth: '1890-01-09', date_of_death: '1938-12-25' },
  {
    first_name: 'Joaquim Maria',
    last_name: 'Machado de Assis',
    date_of_birth: '1839-06-21',
    date_of_death: '1908-09-29',
  },
  { first_name: '漱石', last_name: '夏目', date_of_birth: '1867-02-09', date_of_death: '1916-12-09' },
  { first_name: '賢治', last_name: '宮沢', date_of_birth: '1896-08-27', date_of_death: '1933-09-21' },
  { first_name: '균', last_name: '허', date_of_birth: null, date_of_death: '1618-10-12' },
  { first_name: '雪芹', last_name: '曹', date_of_birth: null, date_of_death: null },
]

export const BOOKS: readonly SampleBook[] = [
  {
    title: 'Pride and Prejudice',
    author: 'Austen',
    summary:
      'Elizabeth Bennet thinks Mr Darcy proud, and he thinks her family impossible. Both are right, and both have much to learn.',
    isbn: '9780141439518',
    language: 'English',
    genres: ['Novel', 'Romance'],
    imprint: 'Penguin Classics, 2002',
    copies: ['a', 'a', 'o'],
  },
  {
    title: 'Frankenstein',
    author: 'Shelley',
    summary:
      'A student gives life to a creature made of dead matter and abandons it. It follows him to the end of the world.',
    isbn: '9780141439471',
    language: 'English',
    genres: ['Gothic fiction', 'Science fiction'],
    imprint: 'Penguin Classics, 2003',
    copies: ['a', 'o'],
  },
  {
    title: 'Moby-Dick',
    author: 'Melville',
    summary:
      'Captain Ahab hunts the white whale that took his leg, and Ishmael, who signed on to see the sea, lives to tell of it.',
    isbn: '9780142437247',
    language: 'English',
    genres: ['Novel', 'Adventure'],
    imprint: 'Penguin Classics, 2002',
    copies: ['a', 'm'],
  },
  {
    title: 'Jane Eyre',
    author: 'Brontë',
    summary:
      'A governess falls in love with the master of Thornfield Hall, where somebody laughs at night behind a locked door.',
    isbn: '9780141441146',
    language: 'English',
    genres: ['Novel', 'Gothic fiction', 'Romance'],
    imprint: 'Penguin Classics, 2006',
    copies: ['a', 'r'],
  },
  {
    title: 'Great Expectations',
    author: 'Dickens',
    summary:
      "Pip, a blacksmith's boy, is made a gentleman by the money of a benefactor who is not the one he thinks.",
    isbn: '9780141439563',
    language: 'English',
    genres: ['Novel'],
    imprint: 'Penguin Classics, 2002',
    copies: ['a', 'o', 'o'],
  },
  {
    title: 'Middlemarch',
    author: 'Eliot',
    summary:
      'A provincial town in the years of reform, and Dorothea Brooke, who wants to do good there and marries the wrong man.',
    isbn: '9780141439549',
    language: 'English',
    genres: ['Novel'],
    imprint: 'Penguin Classics, 2003',
    copies: ['a'],
  },
  {
    title: "Alice's Adventures in Wonderland",
    author: 'Carroll',
    summary:
      'A girl follows a white rabbit down a hole into a country with its own logic, a mad tea party and a furious queen.',
    isbn: '9780141439761',
    language: 'English',
    genres: ['Fantasy', "Children's literature"],
    imprint: 'Penguin Classics, 2003',
    copies: ['a', 'a', 'r'],
  },
  {
    title: 'Dracula',
    author: 'Stoker',
    summary:
      'Letters and diaries tell how a Transylvanian count comes to England, and how a small company hunts him home again.',
    isbn: '9780141439846',
    language: 'English',
    genres: ['Gothic fiction'],
    imprint: 'Penguin Classics, 2003',
    copies: ['o', 'o'],
  },
  {
    title: 'The Picture of Dorian Gray',
    author: 'Wilde',
    summary:
      'A beautiful young man stays as he is, while his portrait in the attic grows old and shows what he has done.',
    isbn: '9780141439570',
    language: 'English',
    genres: ['Novel', 'Gothic fiction'],
    imprint: 'Penguin Classics, 2003',
    copies: ['a', 'm'],
  },
  {
    title: 'The Age of Innocence',
    author: 'Wharton',
    summary:
      'Newland Archer is engaged to the right girl of old New York when her cousin comes back from Europe without her husband.',
    isbn: '9780140189704',
    language: 'English',
    genres: ['Novel', 'Romance'],
    imprint: 'Penguin Classics, 1996',
    copies: ['a'],
  },
  {
    title: 'Les Misérables',
    author: 'Hugo',
    summary:
      'Jean Valjean, nineteen years a convict for a loaf of bread, becomes an honest man, and Inspector Javert does not believe it.',
    isbn: '9782253096337',
    language: 'French',
    genres: ['Novel'],
    imprint: 'Le Livre de Poche, 1998',
    copies: ['a', 'o', 'r'],
  },
  {
    title: 'Madame Bovary',
    author: 'Flaubert',
    summary: 'The wife of a country doctor wants life to be as it is in novels, and pays for it with debts.',
    isbn: '9782070413119',
    language: 'French',
    genres: ['Novel'],
    imprint: 'Gallimard, Folio classique, 2001',
    copies: ['a', 'o'],
  },
  {
    title: 'Germinal',
    author: 'Zola',
    summary:
      'Étienne Lantier finds work in a coal mine of the north, and leads the miners into a strike that hunger decides.',
    isbn: '9782253004226',
    language: 'French',
    genres: ['Novel'],
    imprint: 'Le Livre de Poche, 1971',
    copies: ['a'],
  },
  {
    title: 'Faust. Der Tragödie erster Teil',
    author: 'Goethe',
    summary:
      'A scholar who knows everything but what holds the world together makes a bet with the devil, and Gretchen loses it.',
    isbn: '9783150000014',
    language: 'German',
    genres: ['Drama', 'Poetry'],
    imprint: 'Reclam, 2000',
    copies: ['a', 'a', 'm'],
  },
  {
    title: 'Die Verwandlung',
    author: 'Kafka',
    summary:
      'Gregor Samsa wakes up one morning as a monstrous vermin, and worries that he has missed his train.',
    isbn: '9783150099001',
    language: 'German',
    genres: ['Short fiction', 'Fantasy'],
    imprint: 'Reclam, 2001',
    copies: ['a', 'o', 'o'],
  },
  {
    title: 'Don Quijote de la Mancha',
    author: 'Cervantes Saavedra',
    summary:
      "A gentleman who has read too many romances rides out as a knight, with a farmer as squire and a barber's basin as helmet.",
    isbn: '9788420412146',
    language: 'Spanish',
    genres: ['Novel', 'Adventure', 'Satire'],
    imprint: 'Alfaguara, 2004',
    copies: ['a', 'r'],
  },
  {
    title: 'The Inferno',
    author: 'Alighieri',
    summary:
      'In the middle of his life the poet loses his way in a dark wood, and Virgil leads him down through the nine circles of hell.',
    isbn: '9780142437223',
    language: 'English',
    genres: ['Poetry'],
    imprint: 'Penguin Classics, 2002',
    copies: ['a'],
  },
  {
    title: 'Crime and Punishment',
    author: 'Dostoyevsky',
    summary:
      "A student murders a pawnbroker to prove that he may, and finds in St Petersburg's heat that he cannot bear it.",
    isbn: '9780140449136',
    language: 'English',
    genres: ['Novel'],
    imprint: 'Penguin Classics, 2003',
    copies: ['a', 'o'],
  },
  {
    title: 'Anna Karenina',
    author: 'Tolstoy',
    summary:
      'Anna leaves husband and son for Vronsky, Levin mows with his peasants, and each looks for what one can live for.',
    isbn: '9780143035008',
    language: 'English',
    genres: ['Novel', 'Romance'],
    imprint: 'Penguin Classics, 2004',
    copies: ['a', 'o', 'r'],
  },
  {
    title: "R.U.R. (Rossum's Universal Robots)",
    author: 'Čapek',
    summary:
      'A factory on an island makes artificial workers, whom the play calls robots: the first time anybody did. They rise.',
    isbn: '9780141182087',
    language: 'English',
    genres: ['Drama', 'Science fiction'],
    imprint: 'Penguin Classics, 2004',
    copies: ['m'],
  },
  {
    title: 'Dom Casmurro',
    author: 'Machado de Assis',
    summary:
      "Bento tells how he married the neighbours' Capitu, whose eyes were like the tide, and why he believes she deceived him.",
    isbn: '9780195103090',
    language: 'English',
    genres: ['Novel'],
    imprint: 'Oxford University Press, 1998',
    copies: ['a'],
  },
  {
    title: 'こころ',
    author: '夏目',
    summary:
      'A student grows fond of an older man whom he calls Sensei, and learns from a long last letter what guilt he lived with.',
    isbn: '9784101010137',
    language: 'Japanese',
    genres: ['Novel'],
    imprint: '新潮文庫, 2004',
    copies: ['a', 'o'],
  },
  {
    title: '新編 銀河鉄道の夜',
    author: '宮沢',
    summary:
      'Giovanni and Campanella ride through the Milky Way by night in a train that takes only one of them home.',
    isbn: '9784101092058',
    language: 'Japanese',
    genres: ['Fantasy', "Children's literature"],
    imprint: '新潮文庫, 1989',
    copies: ['a', 'a'],
  },
  {
    title: '홍길동전',
    author: '허',
    summary:
      'Born to a nobleman and his maid, Hong Gildong may not call his father Father. He leaves, leads a band of righteous thieves, and founds a kingdom.',
    isbn: '9788937462009',
    language: 'Korean',
    genres: ['Novel', 'Adventure'],
    imprint: '민음사, 2009',
    copies: ['a', 'r', 'o'],
  },
  {
    title: '红楼梦',
    author: '曹',
    summary:
      'Baoyu, born with a piece of jade in his mouth, grows up among his cousins in a great house that is already falling.',
    isbn: '9787020002207',
    language: 'Chinese',
    genres: ['Novel', 'Romance'],
    imprint: '人民文学出版社, 1996',
    copies: ['a', 'm'],
  },
]
